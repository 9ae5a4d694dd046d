#include "ritz/io/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <utility>

#include "ritz/base/atomic_file.h"
#include "ritz/base/error.h"

namespace ritz::io {
namespace {

// The reference reader's own limit.
constexpr uint64_t kMaxHeader = 100'000'000;
constexpr std::string_view kMetadata = "__metadata__";

struct DTypeName {
  std::string_view name;
  DType dtype;
};

constexpr DTypeName kDTypes[] = {
    {"BOOL", DType::boolean}, {"I8", DType::int8},       {"I16", DType::int16},
    {"I32", DType::int32},    {"I64", DType::int64},     {"U8", DType::uint8},
    {"U16", DType::uint16},   {"U32", DType::uint32},    {"U64", DType::uint64},
    {"F16", DType::float16},  {"BF16", DType::bfloat16}, {"F32", DType::float32},
    {"F64", DType::float64},  {"C64", DType::complex64}};

/// One tensor of the header, as found.
struct Entry {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::vector<uint64_t> offsets;
  std::set<std::string, std::less<>> seen;  // its keys
};

/// Takes the header's JSON event by event: {name: {key: text | [integers]}}, every key once.
/// Anything else ends the parse, so that neither depth nor size of a hostile header costs more than
/// its bytes.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(std::string_view where) : where_(where) {}

  std::vector<Entry> entries;
  std::map<std::string, std::string> metadata;

  bool null() override { fail("no null"); }
  bool boolean(bool) override { fail("no true or false"); }
  bool number_integer(number_integer_t value) override {
    fail("no negative number", std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& text) override { fail("integers only", text); }
  bool binary(binary_t&) override { fail("text"); }
  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 2 || list_ == nullptr)
      fail("a number in shape or data_offsets only", std::to_string(value));
    list_->push_back(value);
    return true;
  }
  bool string(string_t& value) override {
    if (depth_ != 2 || list_ != nullptr) fail("no text here", value);
    if (in_metadata_) {
      metadata[key_] = value;
    } else if (key_ == "dtype") {
      entries.back().dtype = value;
    } else {
      fail("integers under " + key_, value);
    }
    return true;
  }
  bool start_object(size_t) override {
    if (++depth_ > 2 || list_ != nullptr) fail("two levels of braces");
    return true;
  }
  bool end_object() override {
    --depth_;
    in_metadata_ = false;
    return true;
  }
  bool key(string_t& value) override {
    if (depth_ == 1) {
      if (!names_.insert(value).second) fail("every name once", value);
      in_metadata_ = value == kMetadata;
      if (!in_metadata_) entries.push_back({value, {}, {}, {}, {}});
      return true;
    }
    key_ = value;
    const bool known = value == "dtype" || value == "shape" || value == "data_offsets";
    if (!in_metadata_ && !known) fail("dtype, shape and data_offsets", value);
    const bool fresh =
        in_metadata_ ? !metadata.contains(value) : entries.back().seen.insert(value).second;
    if (!fresh) fail("every key once", value);
    return true;
  }
  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || list_ != nullptr || key_ == "dtype") fail("no list here");
    list_ = key_ == "shape" ? &entries.back().shape : &entries.back().offsets;
    return true;
  }
  bool end_array() override {
    list_ = nullptr;
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    fail("valid JSON", "an error at byte " + std::to_string(position));
  }

 private:
  std::string_view where_;
  int depth_ = 0;
  bool in_metadata_ = false;
  std::string key_;
  std::vector<uint64_t>* list_ = nullptr;
  std::set<std::string, std::less<>> names_;

  [[noreturn]] void fail(std::string_view expected, std::string_view found = "one") const {
    throw DataError("safetensors header", expected, found, where_);
  }
};

Layout layout_of(const Entry& entry, std::string_view where) {
  const DTypeName* found = std::ranges::find(kDTypes, entry.dtype, &DTypeName::name);
  if (entry.seen.size() != 3 || entry.offsets.size() != 2) {
    throw DataError("safetensors header", "dtype, shape and two data_offsets", "fewer or more",
                    std::string(where) + ":" + entry.name);
  }
  if (found == std::end(kDTypes)) {
    throw DataError("dtype", "BOOL, I8-I64, U8-U64, F16, BF16, F32, F64 or C64", entry.dtype,
                    std::string(where) + ":" + entry.name);
  }
  Layout layout;
  layout.dtype = found->dtype;
  for (const uint64_t n : entry.shape) {
    if (n > static_cast<uint64_t>(INT64_MAX)) {
      throw DataError("shape", "sizes below 2^63", std::to_string(n),
                      std::string(where) + ":" + entry.name);
    }
    layout.shape.push_back(static_cast<int64_t>(n));
  }
  return layout;
}

/// The tensors must cover the data without gap or overlap.
void check_cover(const std::vector<Entry>& entries, uint64_t size, std::string_view where) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const Entry& entry : entries) ranges.emplace_back(entry.offsets[0], entry.offsets[1]);
  std::ranges::sort(ranges);
  uint64_t end = 0;
  for (const auto& [from, to] : ranges) {
    if (from != end || to < from) {
      throw DataError("data_offsets", "no gap and no overlap at byte " + std::to_string(end),
                      "[" + std::to_string(from) + ", " + std::to_string(to) + "]", where);
    }
    end = to;
  }
  if (end != size) {
    throw DataError("safetensors data", std::to_string(end) + " bytes", std::to_string(size),
                    where);
  }
}

}  // namespace

SafetensorsFile parse_safetensors(const Bytes& bytes, std::string_view where) {
  if (bytes.size() < 8) {
    throw DataError("safetensors header", "at least 8 bytes", std::to_string(bytes.size()), where);
  }
  const auto length = load_little<uint64_t>(bytes.span, 0);
  if (length > kMaxHeader || length > bytes.size() - 8) {
    throw DataError("safetensors header",
                    "at most " + std::to_string(std::min(kMaxHeader, bytes.size() - 8)) + " bytes",
                    std::to_string(length), where);
  }
  HeaderReader header(where);
  const char* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  if (length == 0 || *text != '{')
    throw DataError("safetensors header", "an opening brace", "none", where);
  nlohmann::json::sax_parse(text, text + length, &header);

  SafetensorsFile file;
  file.metadata = std::move(header.metadata);
  std::vector<Layout> layouts;
  for (const Entry& entry : header.entries) layouts.push_back(layout_of(entry, where));
  const uint64_t begin = 8 + length;
  check_cover(header.entries, bytes.size() - begin, where);
  for (size_t i = 0; i < layouts.size(); ++i) {
    const Entry& entry = header.entries[i];
    const std::string inside = std::string(where) + ":" + entry.name;
    const uint64_t need = checked_bytes(layouts[i].shape, layouts[i].dtype, inside);
    if (entry.offsets[1] - entry.offsets[0] != need) {
      throw DataError("data_offsets",
                      std::to_string(need) + " bytes of " + shape_text(layouts[i].shape),
                      std::to_string(entry.offsets[1] - entry.offsets[0]), inside);
    }
    file.arrays.push_back(
        take_array(bytes, begin + entry.offsets[0], layouts[i], entry.name, inside));
  }
  return file;
}

SafetensorsFile read_safetensors(const std::string& path) {
  return parse_safetensors(open_bytes(path), path);
}

void write_safetensors(const std::string& path, const std::vector<Array>& arrays,
                       const std::map<std::string, std::string>& metadata, bool force) {
  // Wide elements lie first, so that every tensor is aligned; the header keeps the given order.
  std::vector<size_t> order(arrays.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{},
                           [&](size_t i) { return size_of(arrays[i].dtype); });
  std::vector<uint64_t> offsets(arrays.size());
  uint64_t end = 0;
  for (const size_t i : order) {
    offsets[i] = end;
    end += arrays[i].bytes();
  }
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[std::string(kMetadata)] = metadata;
  for (size_t i = 0; i < arrays.size(); ++i) {
    const Array& array = arrays[i];
    const DTypeName* found = std::ranges::find(kDTypes, array.dtype, &DTypeName::dtype);
    if (found == std::end(kDTypes)) {
      throw Unsupported(
          format_error("safetensors", "a dtype of the format", name_of(array.dtype), array.name));
    }
    if (array.name == kMetadata || header.contains(array.name)) {
      throw InvalidArgument("safetensors", "every name once", array.name, path);
    }
    header[array.name] = {{"dtype", found->name},
                          {"shape", array.shape},
                          {"data_offsets", {offsets[i], offsets[i] + array.bytes()}}};
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    throw InvalidArgument("safetensors", "names and metadata in UTF-8", "other bytes", path);
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  const uint64_t length = text.size();
  AtomicFile file(path, force);
  file.write(&length, sizeof length);
  file.write(text);
  for (const size_t i : order) file.write(arrays[i].data, arrays[i].bytes());
  file.commit();
}

}  // namespace ritz::io
