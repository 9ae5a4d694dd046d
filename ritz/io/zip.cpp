#include "ritz/io/zip.h"

#include <algorithm>
#include <array>
#include <unordered_set>
#include <utility>

#include "ritz/base/error.h"
#include "ritz/io/deflate.h"

namespace ritz::io {
namespace {

constexpr uint32_t kLocal = 0x04034b50;
constexpr uint32_t kCentral = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kLocator64 = 0x07064b50;
constexpr uint32_t kDescriptor = 0x08074b50;
constexpr size_t kLocalSize = 30;
constexpr size_t kCentralSize = 46;
constexpr size_t kEndSize = 22;
constexpr size_t kEnd64Size = 56;
constexpr size_t kLocator64Size = 20;
constexpr uint16_t kEncrypted = 1 << 0;
constexpr uint16_t kHasDescriptor = 1 << 3;
constexpr uint16_t kZip64Tag = 1;
constexpr uint16_t kPaddingTag = 0xd935;  // Android's zipalign
constexpr uint32_t kFull32 = 0xffffffff;
constexpr uint16_t kFull16 = 0xffff;
constexpr size_t kAlignment = 64;

/// Reads numbers one after another, each checked against the end.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, uint64_t position, std::string_view where)
      : bytes_(bytes), position_(position), where_(where) {
    need(0);
  }
  template <class T>
  T take() {
    need(sizeof(T));
    const T value = load_little<T>(bytes_, position_);
    position_ += sizeof(T);
    return value;
  }
  std::span<const std::byte> take_bytes(uint64_t size) {
    need(size);
    const auto part = bytes_.subspan(position_, size);
    position_ += size;
    return part;
  }
  std::string take_text(uint64_t size) {
    const auto part = take_bytes(size);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  void skip(uint64_t size) { take_bytes(size); }
  uint64_t position() const { return position_; }
  bool at_end() const { return position_ == bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
  uint64_t position_;
  std::string_view where_;

  void need(uint64_t size) const {
    if (position_ > bytes_.size() || size > bytes_.size() - position_) {
      throw DataError("zip archive", "more bytes", "its end", where_);
    }
  }
};

struct Directory {
  uint64_t offset = 0;
  uint64_t size = 0;
  uint64_t count = 0;
};

/// The record at the archive's end; a comment of up to 65535 bytes may follow it.
uint64_t find_end(std::span<const std::byte> bytes, std::string_view where) {
  for (uint64_t comment = 0; comment <= kFull16 && comment + kEndSize <= bytes.size(); ++comment) {
    const uint64_t at = bytes.size() - kEndSize - comment;
    if (load_little<uint32_t>(bytes, at) == kEnd &&
        load_little<uint16_t>(bytes, at + 20) == comment)
      return at;
  }
  throw DataError("zip archive", "a directory at its end", bytes.empty() ? "an empty file" : "none",
                  where);
}

Directory read_end(std::span<const std::byte> bytes, std::string_view where) {
  const uint64_t end = find_end(bytes, where);
  Cursor cursor(bytes, end + 4, where);
  const auto disks = cursor.take<uint32_t>();
  cursor.skip(2);
  Directory directory;
  directory.count = cursor.take<uint16_t>();
  directory.size = cursor.take<uint32_t>();
  directory.offset = cursor.take<uint32_t>();
  uint64_t directory_end = end;
  if (end >= kLocator64Size && load_little<uint32_t>(bytes, end - kLocator64Size) == kLocator64) {
    const auto at = load_little<uint64_t>(bytes, end - kLocator64Size + 8);
    Cursor end64(bytes, at, where);
    if (end64.take<uint32_t>() != kEnd64)
      throw DataError("zip archive", "a zip64 directory", "none", where);
    const auto size = end64.take<uint64_t>();
    if (size < kEnd64Size - 12 || at + kEnd64Size > end || size != end - kLocator64Size - at - 12) {
      throw DataError("zip archive", "a zip64 record that ends at its locator",
                      std::to_string(size) + " bytes", where);
    }
    end64.skip(20);
    directory.count = end64.take<uint64_t>();
    directory.size = end64.take<uint64_t>();
    directory.offset = end64.take<uint64_t>();
    directory_end = at;
  }
  if (disks != 0) throw DataError("zip archive", "one volume", "several", where);
  if (directory.offset > directory_end || directory.size != directory_end - directory.offset ||
      directory.count > directory.size / kCentralSize) {
    throw DataError("zip directory", "to end where the archive's last record begins",
                    "another size", where);
  }
  return directory;
}

/// Replaces the fields that are full by those of the zip64 extra field, which lists just them, in
/// order.
void read_zip64(std::span<const std::byte> extra, std::initializer_list<uint64_t*> fields,
                std::string_view where) {
  const bool needed =
      std::ranges::any_of(fields, [](const uint64_t* field) { return *field == kFull32; });
  Cursor cursor(extra, 0, where);
  while (needed && !cursor.at_end()) {
    const auto tag = cursor.take<uint16_t>();
    const auto part = cursor.take_bytes(cursor.take<uint16_t>());
    if (tag != kZip64Tag) continue;
    Cursor values(part, 0, where);
    for (uint64_t* field : fields) {
      if (*field == kFull32) *field = values.take<uint64_t>();
    }
    return;
  }
}

void check_name(const std::string& name, std::string_view where) {
  bool good = !name.empty() && name.front() != '/' && name.find('\\') == std::string::npos &&
              name.find('\0') == std::string::npos && !(name.size() > 1 && name[1] == ':');
  for (size_t begin = 0; good && begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    good = name.compare(begin, end - begin, "..") != 0;
    begin = end + 1;
  }
  if (!good) throw DataError("zip member", "a name inside the archive's folder", name, where);
}

/// A member as the directory has it; where its bytes begin says its local header.
ZipMember read_member(Cursor& directory, uint16_t& flags, std::string_view where) {
  if (directory.take<uint32_t>() != kCentral)
    throw DataError("zip directory", "an entry", "something else", where);
  directory.skip(4);
  flags = directory.take<uint16_t>();
  const auto method = directory.take<uint16_t>();
  directory.skip(4);
  ZipMember member;
  member.crc = directory.take<uint32_t>();
  member.stored = directory.take<uint32_t>();
  member.size = directory.take<uint32_t>();
  const auto name_size = directory.take<uint16_t>();
  const auto extra_size = directory.take<uint16_t>();
  const auto comment_size = directory.take<uint16_t>();
  const auto disk = directory.take<uint16_t>();
  directory.skip(6);
  member.header = directory.take<uint32_t>();
  member.name = directory.take_text(name_size);
  read_zip64(directory.take_bytes(extra_size), {&member.size, &member.stored, &member.header},
             where);
  directory.skip(comment_size);
  check_name(member.name, where);
  if ((flags & kEncrypted) != 0 || disk != 0 || (method != 0 && method != 8)) {
    throw DataError("zip member", "stored or deflated, not encrypted",
                    "method " + std::to_string(method), where);
  }
  member.deflated = method == 8;
  if (!member.deflated && member.stored != member.size) {
    throw DataError("zip member", "a stored size of " + std::to_string(member.size),
                    std::to_string(member.stored), where);
  }
  check_expansion(member.stored, member.size, where);
  return member;
}

/// Checks the local header against the directory and finds the member's bytes, of which `end` is
/// the first behind them. What lies between may only be a data descriptor that repeats the sizes.
void read_local(std::span<const std::byte> bytes, ZipMember& member, bool descriptor, uint64_t end,
                std::string_view where) {
  Cursor cursor(bytes, member.header, where);
  const bool signed_well = cursor.take<uint32_t>() == kLocal;
  cursor.skip(4);
  const auto method = cursor.take<uint16_t>();
  cursor.skip(16);
  const auto name_size = cursor.take<uint16_t>();
  const auto extra_size = cursor.take<uint16_t>();
  const std::string name = cursor.take_text(name_size);
  if (!signed_well || name != member.name || method != (member.deflated ? 8 : 0)) {
    throw DataError("zip member", "a local header like its directory entry", name, where);
  }
  cursor.skip(extra_size);
  member.data = cursor.position();
  if (member.data > end || member.stored > end - member.data) {
    throw DataError("zip member", "not to overlap with what follows", member.name, where);
  }
  const uint64_t gap = end - member.data - member.stored;
  if (gap == 0 && !descriptor) return;
  bool good = descriptor && (gap == 12 || gap == 16 || gap == 20 || gap == 24);
  if (good) {
    Cursor trailer(bytes, member.data + member.stored, where);
    good = gap % 8 == 4 || trailer.take<uint32_t>() == kDescriptor;
    good = good && trailer.take<uint32_t>() == member.crc;
    const bool wide = gap > 16;
    good = good && (wide ? trailer.take<uint64_t>() : trailer.take<uint32_t>()) == member.stored;
    good = good && (wide ? trailer.take<uint64_t>() : trailer.take<uint32_t>()) == member.size;
  }
  if (!good)
    throw DataError("zip member", "no gap behind its bytes", std::to_string(gap) + " bytes", where);
}

class Record {
 public:
  template <std::unsigned_integral T>
  Record& put(T value) {
    for (size_t i = 0; i < sizeof value; ++i) text_ += static_cast<char>(value >> (8 * i));
    return *this;
  }
  Record& put(std::string_view text) {
    text_ += text;
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

uint32_t low32(uint64_t value) {
  return value >= kFull32 ? kFull32 : static_cast<uint32_t>(value);
}

/// Version, flags (UTF-8 names), method and time (1980-01-01: the same arrays give the same file).
void put_common(Record& record, const ZipMember& member) {
  record.put<uint16_t>(45).put<uint16_t>(1 << 11).put<uint16_t>(member.deflated ? 8 : 0);
  record.put<uint16_t>(0).put<uint16_t>(0x21).put<uint32_t>(member.crc);
}

}  // namespace

ZipReader::ZipReader(Bytes bytes, std::string where)
    : bytes_(std::move(bytes)), where_(std::move(where)) {
  const Directory directory = read_end(bytes_.span, where_);
  Cursor cursor(bytes_.span.first(directory.offset + directory.size), directory.offset, where_);
  std::vector<uint16_t> flags;
  std::unordered_set<std::string> names;
  while (!cursor.at_end()) {
    members_.push_back(read_member(cursor, flags.emplace_back(), where_));
    if (!names.insert(members_.back().name).second) {
      throw DataError("zip archive", "every name once", members_.back().name, where_);
    }
  }
  if (members_.size() != directory.count) {
    throw DataError("zip directory", std::to_string(directory.count) + " entries",
                    std::to_string(members_.size()), where_);
  }
  std::vector<size_t> order(members_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [&](size_t i) { return members_[i].header; });
  if ((order.empty() ? directory.offset : members_[order[0]].header) != 0) {
    throw DataError("zip archive", "its first member at the start", "a gap", where_);
  }
  for (size_t i = 0; i < order.size(); ++i) {
    const uint64_t end = i + 1 < order.size() ? members_[order[i + 1]].header : directory.offset;
    read_local(bytes_.span.first(directory.offset), members_[order[i]],
               (flags[order[i]] & kHasDescriptor) != 0, end, where_);
  }
}

Bytes ZipReader::stored_bytes(const ZipMember& member) const {
  return {bytes_.span.subspan(member.data, member.stored), bytes_.owner};
}

Bytes ZipReader::read(const ZipMember& member) const {
  const Bytes stored = stored_bytes(member);
  Bytes bytes =
      member.deflated ? inflate_raw(stored.span, member.size, where_ + ":" + member.name) : stored;
  if (crc32_of(bytes.span) != member.crc) {
    throw DataError("zip member", "the checksum in its directory", "another: the file is damaged",
                    where_ + ":" + member.name);
  }
  return bytes;
}

Bytes ZipReader::read_prefix(const ZipMember& member, size_t size) const {
  Bytes stored = stored_bytes(member);
  size = std::min<uint64_t>(size, member.size);
  if (member.deflated) return inflate_prefix(stored.span, size, where_ + ":" + member.name);
  stored.span = stored.span.first(size);
  return stored;
}

void ZipWriter::add(const std::string& name, std::string_view head, std::span<const std::byte> body,
                    bool deflate) {
  ZipMember member;
  member.name = name;
  member.header = file_.size();
  member.size = head.size() + body.size();
  const auto head_bytes = std::as_bytes(std::span(head));
  member.crc = crc32_of(body, crc32_of(head_bytes));
  std::string packed;
  if (deflate) {
    std::vector<std::byte> whole(head_bytes.begin(), head_bytes.end());
    whole.insert(whole.end(), body.begin(), body.end());
    packed = deflate_raw(whole);
  }
  member.deflated = deflate;
  member.stored = deflate ? packed.size() : member.size;
  // The sizes always go to the zip64 field, 20 bytes; a padding field of at least 6 aligns the
  // data.
  const uint64_t unpadded = member.header + kLocalSize + name.size() + 20 + 6;
  const uint64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  Record record;
  record.put<uint32_t>(kLocal);
  put_common(record, member);
  record.put<uint32_t>(kFull32).put<uint32_t>(kFull32);
  record.put(static_cast<uint16_t>(name.size())).put(static_cast<uint16_t>(26 + padding)).put(name);
  record.put(kZip64Tag).put<uint16_t>(16).put(member.size).put(member.stored);
  record.put(kPaddingTag)
      .put(static_cast<uint16_t>(2 + padding))
      .put(static_cast<uint16_t>(kAlignment));
  record.put(std::string_view(std::string(padding, '\0')));
  file_.write(record.text());
  if (deflate) {
    file_.write(packed);
  } else {
    file_.write(head);
    file_.write(body.data(), body.size());
  }
  members_.push_back(std::move(member));
}

void ZipWriter::finish() {
  const uint64_t begin = file_.size();
  for (const ZipMember& member : members_) {
    Record extra;
    if (member.size >= kFull32) extra.put(member.size);
    if (member.stored >= kFull32) extra.put(member.stored);
    if (member.header >= kFull32) extra.put(member.header);
    Record record;
    record.put<uint32_t>(kCentral).put<uint16_t>(45);
    put_common(record, member);
    record.put(low32(member.stored)).put(low32(member.size));
    record.put(static_cast<uint16_t>(member.name.size()));
    record.put(static_cast<uint16_t>(extra.text().empty() ? 0 : extra.text().size() + 4));
    record.put<uint16_t>(0).put<uint16_t>(0).put<uint16_t>(0).put<uint32_t>(0);
    record.put(low32(member.header)).put(member.name);
    if (!extra.text().empty()) {
      record.put(kZip64Tag).put(static_cast<uint16_t>(extra.text().size())).put(extra.text());
    }
    file_.write(record.text());
  }
  const uint64_t end = file_.size();
  const uint64_t count = members_.size();
  Record record;
  if (count >= kFull16 || end >= kFull32) {
    record.put<uint32_t>(kEnd64).put<uint64_t>(kEnd64Size - 12).put<uint16_t>(45).put<uint16_t>(45);
    record.put<uint32_t>(0).put<uint32_t>(0).put(count).put(count).put(end - begin).put(begin);
    record.put<uint32_t>(kLocator64).put<uint32_t>(0).put(end).put<uint32_t>(1);
  }
  const auto count16 = static_cast<uint16_t>(std::min<uint64_t>(count, kFull16));
  record.put<uint32_t>(kEnd).put<uint32_t>(0).put(count16).put(count16);
  record.put(low32(end - begin)).put(low32(begin)).put<uint16_t>(0);
  file_.write(record.text());
}

}  // namespace ritz::io
