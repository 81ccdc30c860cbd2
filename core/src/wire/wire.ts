import { type Body, type Envelope, type Header, bodyBytes } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import type { Environment } from "../ports/environment.ts";
import type { Logger } from "../ports/logger.ts";
import type { Destination, Outgoing, Source } from "../ports/transport.ts";
import type { ArrivingDelivery, WireTransform } from "../ports/wire.ts";

const transformsMax = 8;
const encodingsTextMax = 200;
const encodingForm = /^[a-z0-9-]{1,30}$/;

export interface WireHost {
  readonly environment: Environment;
  readonly logger: Logger;
  /** Of the broker underneath. */
  readonly transportName: string;
  readonly bodyBytesMax: number;
  /** Where messages were sent that are forwarded, by `destination type`. */
  readonly formerly?: ReadonlyMap<string, string>;
}

interface Applied {
  readonly transform: WireTransform;
  readonly encoding: string;
}

/** The transforms of one bus, in order. */
export class Wire {
  readonly #transforms: readonly WireTransform[];
  readonly #host: WireHost;
  readonly #required: boolean;
  readonly #places = new Map<string, number>();
  /** Envelopes that are sealed already: what a handler sent is sealed before its message is settled, so that a failure is the handler's. */
  readonly #sealed = new WeakSet<Envelope>();

  /** Throws OPTION_INVALID. */
  constructor(transforms: readonly WireTransform[], host: WireHost) {
    checkTransforms(transforms);
    this.#transforms = transforms;
    this.#host = host;
    this.#required = transforms.some(({ required }) => required);
    for (const [place, { encodings }] of transforms.entries())
      for (const encoding of encodings) this.#places.set(encoding, place);
  }

  /** Bytes of the largest body that may be sent: a claim check takes more than the broker does. */
  get bodyBytesMax(): number {
    const own = this.#transforms.map(({ bodyBytesMax = 0 }) => bodyBytesMax);
    return Math.max(this.#host.bodyBytesMax, ...own);
  }

  /** Sealed for the broker. What is sealed already stays as it is. Rejects with what a transform threw, or BODY_TOO_LARGE. */
  sealAll(batch: readonly Outgoing[]): Promise<readonly Outgoing[]> {
    return Promise.all(batch.map((outgoing) => this.seal(outgoing)));
  }

  async seal(outgoing: Outgoing): Promise<Outgoing> {
    const { envelope, to } = outgoing;
    if (this.#sealed.has(envelope)) return outgoing;
    const { header } = envelope;
    let { body } = envelope;
    const { environment, logger } = this.#host;
    const encodings: string[] = [];
    let signature: string | undefined;
    const destination = this.#sealedFor(destinationText(to), header);
    for (const transform of this.#transforms) {
      const passage = { header, destination, encodings: [...encodings], environment, logger };
      let sealed;
      try {
        sealed = await transform.seal(body, passage);
      } catch (cause) {
        throw sealFailed(cause, header, transform);
      }
      if (sealed === undefined) continue;
      body = sealed.body;
      encodings.push(sealed.encoding);
      signature = sealed.signature ?? signature;
    }
    this.#checkSize(body, header);
    const sealed: Envelope = { header: sealedHeader(header, encodings, signature), body };
    this.#sealed.add(sealed);
    return { ...outgoing, envelope: sealed };
  }

  /** Whether it can be passed on as it came, without waiting. */
  isPlain({ header }: Envelope): boolean {
    return header.contentencoding === undefined && !this.#required;
  }

  /**
   * The envelope as it was before it was sealed. Rejects with a WaybillError: DECODE_FAILED when it says something that no transform
   * here reads, UNAUTHORISED when a required transform was not applied, or what a transform threw.
   */
  async open(
    envelope: Envelope,
    from: {
      destination: string;
      delivery: ArrivingDelivery | undefined;
      /** Called when every required transform has let the message pass: what fails from then on is no stranger's doing. */
      onVouched?: () => void;
    },
  ): Promise<Envelope> {
    const { header } = envelope;
    const applied = this.#applied(header);
    const words = applied.map(({ encoding }) => encoding);
    const { environment, logger } = this.#host;
    let { body } = envelope;
    const { delivery, onVouched } = from;
    const destination = this.#sealedFor(from.destination, header);
    let unvouched = applied.filter(({ transform }) => transform.required).length;
    if (unvouched === 0) onVouched?.();
    for (const [place, { transform, encoding }] of [...applied.entries()].toReversed()) {
      const encodings = words.slice(0, place);
      const arrival = {
        header,
        encoding,
        encodings,
        environment,
        logger,
        destination,
        delivery,
      };
      try {
        body = await transform.open(body, arrival);
      } catch (cause) {
        throw openFailed(cause, header, transform);
      }
      if (!transform.required) continue;
      unvouched -= 1;
      if (unvouched === 0) onVouched?.();
    }
    const { contentencoding: _encoding, signature: _signature, ...plain } = header;
    return { header: plain, body };
  }

  /** A command that was sent under a former name is bound to the queue of that name. */
  #sealedFor(destination: string, { type }: Header): string {
    return this.#host.formerly?.get(`${destination} ${type}`) ?? destination;
  }

  /** What the header says was done, which must be in the order of this bus: else an inner signature could be wrapped by a stranger. */
  #applied(header: Header): readonly Applied[] {
    const words = encodingsOf(header);
    const applied: Applied[] = [];
    let last = -1;
    for (const encoding of words) {
      const place = this.#places.get(encoding);
      const transform = place === undefined ? undefined : this.#transforms[place];
      if (place === undefined || transform === undefined)
        throw cannotOpen(header, encoding, this.#transforms);
      if (place <= last)
        throw new WaybillError(
          "UNAUTHORISED",
          `"${header.type}" says "${words.join(", ")}", which is not the order of this bus's wire. Give sender and receiver the same list.`,
        );
      last = place;
      applied.push({ transform, encoding });
    }
    for (const transform of this.#transforms) {
      if (!transform.required || applied.some((each) => each.transform === transform)) continue;
      throw new WaybillError(
        "UNAUTHORISED",
        `"${header.type}" from ${header.source} came without ${transform.name}, which this bus requires. Give its sender the same wire, or look for who else can write to the broker.`,
      );
    }
    return applied;
  }

  #checkSize(body: Body, { type }: Header): void {
    const { bodyBytesMax, transportName } = this.#host;
    if (body.length * 3 <= bodyBytesMax) return;
    const bytes = bodyBytes(body);
    if (bytes <= bodyBytesMax) return;
    throw new WaybillError(
      "BODY_TOO_LARGE",
      `"${type}" has ${bytes} bytes when it is sealed; ${transportName} takes ${bodyBytesMax}. Put claimCheck() into the wire, or send a reference to the data.`,
    );
  }
}

export function destinationText({ kind, name }: Destination): string {
  return `${kind}/${name}`;
}

/** Where a message that is received from here was sent. */
export function destinationOfSource(source: Source): string {
  return source.kind === "subscription" ? `topic/${source.topic}` : `${source.kind}/${source.name}`;
}

/** The same, of an address as `addressOf` writes it. */
export function destinationOfAddress(address: string): Destination {
  const slash = address.indexOf("/");
  if (slash !== -1) return { kind: "topic", name: address.slice(0, slash) };
  const at = address.indexOf("@");
  return at === -1
    ? { kind: "queue", name: address }
    : { kind: "stream", name: address.slice(0, at) };
}

/** The words of `contentencoding`, first applied first. Throws DECODE_FAILED. */
function encodingsOf({ contentencoding, type }: Header): readonly string[] {
  if (contentencoding === undefined) return [];
  const words: unknown = contentencoding;
  const list =
    typeof words === "string" && words.length <= encodingsTextMax
      ? words.split(",").map((word) => word.trim())
      : [];
  if (
    list.length === 0 ||
    list.length > transformsMax ||
    list.some((word) => !encodingForm.test(word))
  ) {
    throw new WaybillError(
      "DECODE_FAILED",
      `The contentencoding of "${type}" is no list of at most ${transformsMax} words.`,
    );
  }
  return list;
}

/** The body, which must not be sealed any more: what no transform opened is not handed to a codec. Throws DECODE_FAILED. */
export function plainBody({ header, body }: Envelope): Body {
  if (header.contentencoding === undefined) return body;
  throw cannotOpen(header, encodingsOf(header).join(", "), []);
}

function cannotOpen(
  { type, source }: Header,
  encoding: string,
  known: readonly WireTransform[],
): WaybillError {
  const own =
    known.length === 0
      ? "has no wire"
      : `opens ${known.flatMap(({ encodings }) => encodings).join(", ")}`;
  return new WaybillError(
    "DECODE_FAILED",
    `The body of "${type}" from ${source} is sealed by "${encoding}", and this bus ${own}. Give connect({ wire }) the sender's transforms, then replay the message.`,
  );
}

function sealedHeader(
  header: Header,
  encodings: readonly string[],
  signature: string | undefined,
): Header {
  if (encodings.length === 0) return header;
  const contentencoding = encodings.join(", ");
  return signature === undefined
    ? { ...header, contentencoding }
    : { ...header, contentencoding, signature };
}

function sealFailed(cause: unknown, { type }: Header, { name }: WireTransform): WaybillError {
  if (cause instanceof WaybillError) return cause;
  return new WaybillError(
    "TRANSPORT_FAILED",
    `"${type}" could not be sealed by ${name}: ${messageOf(cause)}`,
    { retryable: true, cause },
  );
}

function openFailed(cause: unknown, { type }: Header, { name }: WireTransform): WaybillError {
  if (cause instanceof WaybillError) return cause;
  return new WaybillError(
    "DECODE_FAILED",
    `"${type}" could not be opened by ${name}: ${messageOf(cause)}`,
    { cause },
  );
}

function checkTransforms(transforms: readonly WireTransform[]): void {
  const fault = (text: string): WaybillError => new WaybillError("OPTION_INVALID", text);
  if (transforms.length > transformsMax)
    throw fault(`wire has ${transforms.length} transforms; give at most ${transformsMax}.`);
  const seen = new Set<string>();
  for (const { name, encodings } of transforms) {
    if (encodings.length === 0) throw fault(`The transform "${name}" of wire has no encodings.`);
    for (const encoding of encodings) {
      if (!encodingForm.test(encoding))
        throw fault(
          `The encoding "${encoding}" of "${name}" is not legal: lower-case letters, digits and dashes, at most 30.`,
        );
      if (seen.has(encoding))
        throw fault(`Two transforms of wire write "${encoding}"; keep one of them.`);
      seen.add(encoding);
    }
  }
}
