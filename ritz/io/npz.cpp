#include "ritz/io/npz.h"

#include <algorithm>
#include <utility>

#include "ritz/base/error.h"
#include "ritz/io/npy.h"
#include "ritz/io/zip.h"

namespace ritz::io {
namespace {

constexpr std::string_view kSuffix = ".npy";
// Longer than any header that parse_npy_header accepts.
constexpr size_t kHeaderPrefix = (1 << 16) + 64;

std::string array_name(const ZipMember& member, std::string_view where) {
  if (!member.name.ends_with(kSuffix)) {
    throw DataError("npz member", "a name that ends in .npy", member.name, where);
  }
  return member.name.substr(0, member.name.size() - kSuffix.size());
}

std::string inside(std::string_view where, const std::string& name) {
  return std::string(where) + ":" + name;
}

const Array& find(const std::vector<Array>& arrays, std::string_view name, std::string_view where) {
  const auto found = std::ranges::find(arrays, name, &Array::name);
  if (found == arrays.end())
    throw DataError("sparse matrix", "an array " + std::string(name), "none", where);
  return *found;
}

/// An index array as int64.
Array widened(const Array& array, std::string_view where) {
  if (array.dtype == DType::int64) return array;
  if (array.dtype != DType::int32)
    throw DataError(array.name, "int32 or int64", describe(array), where);
  Array out = make_array(array.name, array.shape, DType::int64);
  const auto* from = reinterpret_cast<const int32_t*>(array.data);
  std::copy(from, from + array.count(), reinterpret_cast<int64_t*>(mutable_data(out)));
  return out;
}

std::span<const int64_t> values(const Array& array) {
  return {reinterpret_cast<const int64_t*>(array.data), static_cast<size_t>(array.count())};
}

}  // namespace

std::vector<ArrayInfo> list_npz(const Bytes& bytes, std::string_view where) {
  const ZipReader zip(bytes, std::string(where));
  std::vector<ArrayInfo> list;
  for (const ZipMember& member : zip.members()) {
    const std::string name = array_name(member, where);
    const Bytes head = zip.read_prefix(member, kHeaderPrefix);
    Layout layout = parse_npy_header(head.span, inside(where, name)).layout;
    list.push_back({name, std::move(layout.shape), layout.dtype});
  }
  return list;
}

std::vector<Array> parse_npz(const Bytes& bytes, std::string_view name, std::string_view where) {
  const ZipReader zip(bytes, std::string(where));
  std::vector<Array> arrays;
  for (const ZipMember& member : zip.members()) {
    const std::string own = array_name(member, where);
    if (!name.empty() && own != name) continue;
    arrays.push_back(parse_npy(zip.read(member), own, inside(where, own)));
  }
  return arrays;
}

void write_npz(AtomicFile& file, const std::vector<Array>& arrays, bool compress) {
  ZipWriter zip(file);
  for (const Array& array : arrays) {
    zip.add(array.name + std::string(kSuffix), npy_header(array), {array.data, array.bytes()},
            compress);
  }
  zip.finish();
}

bool is_sparse_npz(const std::vector<ArrayInfo>& arrays) {
  return std::ranges::all_of(
      std::initializer_list<std::string_view>{"data", "shape", "format"},
      [&](auto name) { return std::ranges::find(arrays, name, &ArrayInfo::name) != arrays.end(); });
}

CsrArrays read_csr_npz(const std::string& path) {
  return parse_csr_npz(open_bytes(path), path);
}

CsrArrays parse_csr_npz(const Bytes& bytes, std::string_view where) {
  const std::vector<Array> arrays = parse_npz(bytes, "", where);
  const Array& format = find(arrays, "format", where);
  const std::string_view text(reinterpret_cast<const char*>(format.data), format.bytes());
  if (text != "csr") {
    throw Unsupported(format_error("sparse matrix", "SciPy's format csr", text, where));
  }
  CsrArrays csr;
  csr.data = find(arrays, "data", where);
  csr.indices = widened(find(arrays, "indices", where), where);
  csr.indptr = widened(find(arrays, "indptr", where), where);
  const Array shape = widened(find(arrays, "shape", where), where);
  if (shape.shape != std::vector<int64_t>{2})
    throw DataError("shape", "two numbers", describe(shape), where);
  csr.rows = values(shape)[0];
  csr.cols = values(shape)[1];
  const std::vector<int64_t> nnz = {csr.data.count()};
  if (csr.rows < 0 || csr.cols < 0 || csr.data.shape != nnz || csr.indices.shape != nnz ||
      csr.indptr.shape.size() != 1 || csr.indptr.shape[0] - 1 != csr.rows) {
    throw DataError("sparse matrix", "data and indices of one length, indptr of rows + 1",
                    "data " + shape_text(csr.data.shape) + ", indices " +
                        shape_text(csr.indices.shape) + ", indptr " + shape_text(csr.indptr.shape),
                    where);
  }
  const auto indptr = values(csr.indptr);
  if (indptr.front() != 0 || indptr.back() != nnz[0] || !std::ranges::is_sorted(indptr)) {
    throw DataError("indptr", "to rise from 0 to " + std::to_string(nnz[0]), "other values", where);
  }
  for (const int64_t column : values(csr.indices)) {
    if (column < 0 || column >= csr.cols) {
      throw DataError("indices", "columns in [0, " + std::to_string(csr.cols) + ")",
                      std::to_string(column), where);
    }
  }
  return csr;
}

}  // namespace ritz::io
