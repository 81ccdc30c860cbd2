/** A bug that somebody could have made: one place of the source, and what would stand there. */
export interface PlantedBug {
  readonly name: string;
  /** From the root of the repository. */
  readonly file: string;
  /** Must stand there exactly once. */
  readonly text: string;
  readonly instead: string;
  /**
   * Cases of the transport suite that aim at it, by id, for what the model rarely meets: they run first, alone.
   * Whatever does not fail them goes through everything like the others.
   */
  readonly cases?: readonly string[];
}
