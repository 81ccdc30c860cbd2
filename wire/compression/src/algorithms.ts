import { promisify } from "node:util";
import {
  brotliCompress,
  brotliCompressSync,
  brotliDecompress,
  brotliDecompressSync,
  constants,
  gunzip,
  gunzipSync,
  gzip,
  gzipSync,
  zstdCompress,
  zstdCompressSync,
  zstdDecompress,
  zstdDecompressSync,
} from "node:zlib";

export type Algorithm = "brotli" | "gzip" | "zstd";

/** How each is done: small bodies at once, because handing them to another thread takes longer; large ones beside the event loop. */
export interface Method {
  deflateNow(bytes: Uint8Array): Uint8Array;
  deflate(bytes: Uint8Array): Promise<Uint8Array>;
  /** Both throw ERR_BUFFER_TOO_LARGE as soon as more than `bytesMax` have come out; nothing above it is kept. */
  inflateNow(bytes: Uint8Array, bytesMax: number): Uint8Array;
  inflate(bytes: Uint8Array, bytesMax: number): Promise<Uint8Array>;
}

/** Quality 4 is as fast as gzip and smaller; 11, the default, is for files that are compressed once. */
const brotliOptions = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };

const asynchronously = {
  brotliCompress: promisify(brotliCompress),
  brotliDecompress: promisify(brotliDecompress),
  gunzip: promisify(gunzip),
  gzip: promisify(gzip),
  zstdCompress: promisify(zstdCompress),
  zstdDecompress: promisify(zstdDecompress),
};

export const methods: Readonly<Record<Algorithm, Method>> = {
  brotli: {
    deflateNow: (bytes) => brotliCompressSync(bytes, brotliOptions),
    deflate: (bytes) => asynchronously.brotliCompress(bytes, brotliOptions),
    inflateNow: (bytes, maxOutputLength) => brotliDecompressSync(bytes, { maxOutputLength }),
    inflate: (bytes, maxOutputLength) =>
      asynchronously.brotliDecompress(bytes, { maxOutputLength }),
  },
  gzip: {
    deflateNow: (bytes) => gzipSync(bytes),
    deflate: (bytes) => asynchronously.gzip(bytes),
    inflateNow: (bytes, maxOutputLength) => gunzipSync(bytes, { maxOutputLength }),
    inflate: (bytes, maxOutputLength) => asynchronously.gunzip(bytes, { maxOutputLength }),
  },
  zstd: {
    deflateNow: (bytes) => zstdCompressSync(bytes),
    deflate: (bytes) => asynchronously.zstdCompress(bytes),
    inflateNow: (bytes, maxOutputLength) => zstdDecompressSync(bytes, { maxOutputLength }),
    inflate: (bytes, maxOutputLength) => asynchronously.zstdDecompress(bytes, { maxOutputLength }),
  },
};
