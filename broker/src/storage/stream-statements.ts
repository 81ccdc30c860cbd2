/** The statements of streams, their groups and their items: see `statements.ts`. */
export const streamTexts = {
  allPartitions:
    "select s.id, s.name, p.id as partition from stream s join stream_partition p on p.stream = s.id order by s.id, p.number",
  insertStream:
    "insert into stream(name, partitions, age_ms, bytes_max) values (?, ?, ?, ?) returning id",
  streamByName: "select id, partitions, age_ms, bytes_max from stream where name = ?",
  updateRetention: "update stream set age_ms = ?, bytes_max = ? where id = ?",
  insertPartition: "insert into stream_partition(stream, number) values (?, ?)",
  growPartition:
    "update stream_partition set next_offset = next_offset + 1, bytes = bytes + ? where id = ? returning next_offset - 1 as offset",
  insertItem:
    "insert into stream_item(place, enqueued_at, bytes, header, body) values (?, ?, ?, ?, ?)",

  partitionsOf:
    "select id, number, first_offset as first, next_offset as next from stream_partition where stream = ? order by number",
  insertCursor:
    "insert into stream_cursor(address, partition, committed, delivered) values (?, ?, ?, ?)",
  cursorsOf:
    "select partition, committed, delivered, attempt, lease from stream_cursor where address = ?",
  moveCursor:
    "update stream_cursor set committed = ?, delivered = ?, attempt = 0, lease = null where address = ? and partition = ?",
  acquireCursor: "update stream_cursor set lease = ? where address = ? and partition = ?",
  markDelivered:
    "update stream_cursor set delivered = max(delivered, ?) where address = ? and partition = ? and lease = ?",
  countAttempt:
    "update stream_cursor set attempt = ? where address = ? and partition = ? and lease = ?",
  countRunAt:
    "update stream_cursor set committed = ?, attempt = ? where address = ? and partition = ? and lease = ?",
  commitCursor:
    "update stream_cursor set committed = ?, attempt = 0 where address = ? and partition = ? and lease = ? and committed <> ?",
  heldCursor: `select c.committed, p.first_offset as first from stream_cursor c join stream_partition p on p.id = c.partition
    where c.address = ? and c.partition = ? and c.lease = ?`,
  cursorsIn: "select address, committed from stream_cursor where partition = ?",
  giveUpCursor:
    "update stream_cursor set committed = ?, delivered = ?, attempt = ?, lease = null where address = ? and partition = ? and lease = ?",
  freeCursors: "update stream_cursor set lease = null where lease = ?",
  membersOf: "select id from lease where address = ? and counts = 1 order by id",
  leaveGroup: "update lease set counts = 0 where id = ?",
  itemTakenAt: "select enqueued_at as at from stream_item where place = ?",
  headItems:
    "select place, bytes from stream_item where place >= ? and place < ? order by place limit ?",
  itemContents:
    "select place, bytes, enqueued_at, header, body from stream_item where place >= ? and place <= ? order by place",
  anyItem: "select 1 from stream_item where place >= ? and place < ? limit 1",
  oldestItems:
    "select place, enqueued_at, bytes from stream_item where place >= ? and place < ? order by place limit ?",
  deleteItems: "delete from stream_item where place >= ? and place <= ?",
  boundedPartitions:
    "select p.id, p.first_offset as first, p.bytes, s.age_ms, s.bytes_max from stream s join stream_partition p on p.stream = s.id where s.age_ms is not null or s.bytes_max is not null",
  trimPartition: "update stream_partition set first_offset = ?, bytes = bytes - ? where id = ?",
} as const;
