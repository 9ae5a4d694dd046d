#include "ritz/io/npy.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "ritz/base/error.h"

namespace ritz::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
// numpy itself refuses longer ones, for a literal can cost more to parse than it has bytes.
constexpr size_t kMaxHeader = 1 << 16;
constexpr size_t kAlignment = 64;

/// The little of Python's grammar that a header is written in.
class Literal {
 public:
  Literal(std::string_view text, std::string_view where) : text_(text), where_(where) {}

  [[noreturn]] void fail(std::string_view expected) const {
    throw DataError("npy header", expected,
                    position_ < text_.size() ? text_.substr(position_, 24) : "its end", where_);
  }
  void skip_space() {
    while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\n'))
      ++position_;
  }
  bool accept(char c) {
    skip_space();
    if (position_ == text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("'") + c + "'");
  }
  void expect_end() {
    skip_space();
    if (position_ != text_.size()) fail("the end of the header");
  }
  std::string_view string() {
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"') expect('"');
    const size_t begin = position_;
    const size_t end = text_.find(quote, begin);
    if (end == std::string_view::npos) fail("a closing quote");
    position_ = end + 1;
    return text_.substr(begin, end - begin);
  }
  bool boolean() {
    skip_space();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(position_).starts_with(word)) {
        position_ += word.size();
        return value;
      }
    }
    fail("True or False");
  }
  int64_t integer() {
    skip_space();
    int64_t value = 0;
    const char* end = text_.data() + text_.size();
    const auto result = std::from_chars(text_.data() + position_, end, value);
    if (result.ec != std::errc()) fail("an integer below 2^63");
    position_ = static_cast<size_t>(result.ptr - text_.data());
    if (position_ < text_.size() && text_[position_] == 'L') ++position_;  // Python 2's long
    return value;
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> values;
    expect('(');
    while (!accept(')')) {
      values.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return values;
  }
  bool at(char c) {
    const size_t before = position_;
    const bool found = accept(c);
    position_ = before;
    return found;
  }

 private:
  std::string_view text_;
  std::string_view where_;
  size_t position_ = 0;
};

struct Description {
  std::string_view letters;  // kind and width
  DType dtype;
};

constexpr Description kDescriptions[] = {
    {"b1", DType::boolean},   {"i1", DType::int8},       {"i2", DType::int16},
    {"i4", DType::int32},     {"i8", DType::int64},      {"u1", DType::uint8},
    {"u2", DType::uint16},    {"u4", DType::uint32},     {"u8", DType::uint64},
    {"f2", DType::float16},   {"f4", DType::float32},    {"f8", DType::float64},
    {"c8", DType::complex64}, {"c16", DType::complex128}};

/// Sets dtype and byte order; returns the length of an element that is a byte string, else 0.
int64_t set_dtype(Layout& layout, std::string_view descr, std::string_view where) {
  const std::string_view kind = descr.substr(descr.empty() ? 0 : 1);
  if (kind.starts_with('O')) {
    throw DataError("dtype", "numbers", "Python objects, which are never unpickled", where);
  }
  for (const auto& known : kDescriptions) {
    if (known.letters != kind) continue;
    layout.dtype = known.dtype;
    const char order = descr.front();
    if (order == '<' || order == '>' || order == '=' ||
        (order == '|' && size_of(known.dtype) == 1)) {
      layout.big_endian = order == '>';
      return 0;
    }
  }
  // A byte string is its bytes, one dimension more.
  int64_t length = 0;
  const char* end = kind.data() + kind.size();
  if (kind.starts_with('S') && std::from_chars(kind.data() + 1, end, length).ptr == end &&
      length > 0) {
    layout.dtype = DType::uint8;
    return length;
  }
  throw DataError("dtype", "bool, an integer, a float of 2, 4 or 8 bytes, or a complex number",
                  descr, where);
}

/// Where the header's text begins, and its length.
std::pair<size_t, size_t> header_extent(std::span<const std::byte> bytes, std::string_view where) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (!text.starts_with(kMagic)) {
    throw DataError("npy magic", "\"\\x93NUMPY\"",
                    text.empty() ? "an empty file" : text.substr(0, 6), where);
  }
  if (text.size() < 10)
    throw DataError("npy header", "at least 10 bytes", std::to_string(text.size()), where);
  const int version = static_cast<unsigned char>(text[6]);
  if (version < 1 || version > 3)
    throw DataError("npy version", "1, 2 or 3", std::to_string(version), where);
  if (version > 1 && text.size() < 12) {
    throw DataError("npy header", "at least 12 bytes", std::to_string(text.size()), where);
  }
  const size_t begin = version == 1 ? 10 : 12;
  const size_t length =
      version == 1 ? load_little<uint16_t>(bytes, 8) : load_little<uint32_t>(bytes, 8);
  if (length > kMaxHeader || length > text.size() - begin) {
    throw DataError(
        "npy header",
        "at most " + std::to_string(std::min(kMaxHeader, text.size() - begin)) + " bytes",
        std::to_string(length), where);
  }
  return {begin, length};
}

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> bytes, std::string_view where) {
  const auto [begin, length] = header_extent(bytes, where);
  Literal literal({reinterpret_cast<const char*>(bytes.data()) + begin, length}, where);
  std::optional<std::string_view> descr;
  std::optional<bool> fortran;
  std::optional<std::vector<int64_t>> shape;
  literal.expect('{');
  while (!literal.accept('}')) {
    const std::string_view key = literal.string();
    literal.expect(':');
    if (key == "descr" && !descr) {
      if (literal.at('[') || literal.at('(')) {
        throw DataError("dtype", "one number an element", "a structured array", where);
      }
      descr = literal.string();
    } else if (key == "fortran_order" && !fortran) {
      fortran = literal.boolean();
    } else if (key == "shape" && !shape) {
      shape = literal.tuple();
    } else {
      throw DataError("npy header", "'descr', 'fortran_order' and 'shape', once each", key, where);
    }
    if (!literal.accept(',')) {
      literal.expect('}');
      break;
    }
  }
  literal.expect_end();
  if (!descr || !fortran || !shape) {
    throw DataError("npy header", "'descr', 'fortran_order' and 'shape'", "fewer", where);
  }
  NpyHeader header;
  const int64_t string_length = set_dtype(header.layout, *descr, where);
  header.layout.fortran = *fortran;
  header.layout.shape = std::move(*shape);
  if (string_length > 0) {
    if (*fortran && header.layout.shape.size() > 1) {
      throw DataError("dtype", "numbers in Fortran order", *descr, where);
    }
    header.layout.shape.push_back(string_length);
  }
  header.data_offset = begin + length;
  checked_bytes(header.layout.shape, header.layout.dtype, where);
  return header;
}

Array parse_npy(const Bytes& bytes, std::string name, std::string_view where) {
  const NpyHeader header = parse_npy_header(bytes.span, where);
  Array array = take_array(bytes, header.data_offset, header.layout, std::move(name), where);
  const size_t rest = bytes.size() - header.data_offset - array.bytes();
  if (rest != 0)
    throw DataError("npy data", "the end of the file", std::to_string(rest) + " more bytes", where);
  return array;
}

std::string npy_header(const Array& array) {
  const Description* found = std::ranges::find(kDescriptions, array.dtype, &Description::dtype);
  if (found == std::end(kDescriptions)) {
    throw Unsupported(
        format_error("npy", "a dtype that numpy has", name_of(array.dtype), array.name));
  }
  std::string text = "{'descr': '";
  text += size_of(array.dtype) == 1 ? '|' : '<';
  text += found->letters;
  text += "', 'fortran_order': False, 'shape': (";
  for (const int64_t n : array.shape) text += std::to_string(n) + ", ";
  if (array.shape.size() > 1) text.resize(text.size() - 2);
  if (array.shape.size() == 1) text.pop_back();
  text += "), }";
  // Magic, version and a length of two bytes go before the text, a line break ends it.
  const size_t whole = (10 + text.size() + 1 + kAlignment - 1) / kAlignment * kAlignment;
  text.append(whole - 10 - text.size() - 1, ' ');
  text += '\n';
  std::string header(kMagic);
  header +=
      {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return header + text;
}

void write_npy(AtomicFile& file, const Array& array) {
  file.write(npy_header(array));
  file.write(array.data, array.bytes());
}

}  // namespace ritz::io
