/** Where an event stands among those of its key. */
export interface RecordedHeader {
  /** The key. */
  readonly subject: string;
  /** The version. */
  readonly sequence: string;
}
