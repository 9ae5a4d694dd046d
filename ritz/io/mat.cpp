#include "ritz/io/mat.h"

#include <matio.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "ritz/base/error.h"
#include "ritz/io/bytes.h"
#include "ritz/io/detail/hdf5.h"
#include "ritz/io/detail/isolated.h"

namespace ritz::io {
namespace {

struct ClassRow {
  matio_classes matlab;
  matio_types type;
  DType dtype;
};

constexpr ClassRow kClasses[] = {
    {MAT_C_DOUBLE, MAT_T_DOUBLE, DType::float64}, {MAT_C_SINGLE, MAT_T_SINGLE, DType::float32},
    {MAT_C_INT8, MAT_T_INT8, DType::int8},        {MAT_C_UINT8, MAT_T_UINT8, DType::uint8},
    {MAT_C_INT16, MAT_T_INT16, DType::int16},     {MAT_C_UINT16, MAT_T_UINT16, DType::uint16},
    {MAT_C_INT32, MAT_T_INT32, DType::int32},     {MAT_C_UINT32, MAT_T_UINT32, DType::uint32},
    {MAT_C_INT64, MAT_T_INT64, DType::int64},     {MAT_C_UINT64, MAT_T_UINT64, DType::uint64}};

struct CloseFile {
  void operator()(mat_t* file) const { Mat_Close(file); }
};
struct FreeVariable {
  void operator()(matvar_t* variable) const { Mat_VarFree(variable); }
};
using File = std::unique_ptr<mat_t, CloseFile>;
using Variable = std::unique_ptr<matvar_t, FreeVariable>;

struct Job {
  const std::string& path;
  std::string_view name;  // empty: all
  uint64_t file_bytes;
  bool data;
  std::optional<size_t> variables = std::nullopt;  // in the file; none: not known
};

/// dtype of a variable; none where it holds no numbers.
std::optional<DType> dtype_of(const matvar_t& variable, const std::string& where) {
  if (variable.class_type == MAT_C_SPARSE) {
    throw Unsupported(format_error("variable", "a full matrix: full(A)", "a sparse one", where));
  }
  const ClassRow* row = std::ranges::find(kClasses, variable.class_type, &ClassRow::matlab);
  if (row == std::end(kClasses)) return std::nullopt;
  if (variable.isLogical != 0 && row->dtype == DType::uint8) return DType::boolean;
  if (variable.isComplex == 0) return row->dtype;
  if (row->dtype == DType::float64) return DType::complex128;
  if (row->dtype == DType::float32) return DType::complex64;
  throw Unsupported(
      format_error("variable", "complex numbers in single or double", "integers", where));
}

/// The variable's numbers in Fortran order, complex parts side by side.
std::vector<std::byte> fortran_bytes(const matvar_t& variable, DType dtype, uint64_t need,
                                     const std::string& where) {
  std::vector<std::byte> bytes(need);
  const auto fail = [&] {
    throw DataError("variable", std::to_string(need) + " bytes of data", "fewer", where);
  };
  if (need == 0) return bytes;
  if (variable.data == nullptr) fail();
  const size_t width = number_width(dtype);
  const bool complex = width != size_of(dtype);
  if (variable.nbytes != need / (complex ? 2 : 1)) fail();
  if (!complex) {
    std::memcpy(bytes.data(), variable.data, need);
    if (dtype == DType::boolean) {
      for (std::byte& b : bytes) b = std::byte{b != std::byte{0}};
    }
    return bytes;
  }
  const auto* parts = static_cast<const mat_complex_split_t*>(variable.data);
  if (parts->Re == nullptr || parts->Im == nullptr) fail();
  for (uint64_t i = 0; i < need / width / 2; ++i) {
    std::memcpy(bytes.data() + 2 * i * width, static_cast<const std::byte*>(parts->Re) + i * width,
                width);
    std::memcpy(bytes.data() + (2 * i + 1) * width,
                static_cast<const std::byte*>(parts->Im) + i * width, width);
  }
  return bytes;
}

void read_variable(mat_t* file, matvar_t* variable, const Job& job, ArraySink& sink) {
  const std::string name = variable->name != nullptr ? variable->name : "";
  if (!job.name.empty() && name != job.name) return;
  const std::string where = job.path + ":" + name;
  const std::optional<DType> dtype = dtype_of(*variable, where);
  if (!dtype) {
    if (job.name.empty()) return;
    throw Unsupported(format_error("variable", "numbers", "text, a cell or a structure", where));
  }
  if (variable->rank < 0 || variable->rank > 64 ||
      (variable->rank > 0 && variable->dims == nullptr)) {
    throw DataError("variable", "at most 64 dimensions", std::to_string(variable->rank), where);
  }
  const ArrayInfo info{name, {variable->dims, variable->dims + variable->rank}, *dtype};
  const uint64_t need = checked_bytes(info.shape, info.dtype, where);
  if (!job.data) {
    sink.add(info, false);
    return;
  }
  sink.claim(need, where);
  if (need > 0 && Mat_VarReadDataAll(file, variable) != 0) {
    throw DataError("variable", "readable data", "damaged ones", where);
  }
  const std::vector<std::byte> bytes = fortran_bytes(*variable, *dtype, need, where);
  std::byte* to = sink.add(info, true);
  fortran_to_c(bytes.data(), to, info.shape, size_of(*dtype));
}

/// Runs in the child.
void read_file(const Job& job, ArraySink& sink) {
  const File file(Mat_Open(job.path.c_str(), MAT_ACC_RDONLY));
  if (file == nullptr) throw DataError("MAT file", "version 4, 5 or 7.3", "another file", job.path);
  size_t read = 0;
  while (true) {
    const Variable variable(Mat_VarReadNextInfo(file.get()));
    if (variable == nullptr) break;
    ++read;
    read_variable(file.get(), variable.get(), job, sink);
  }
  // libmatio takes a variable that it cannot read for the end of the file.
  if (job.variables && read < *job.variables) {
    throw DataError("MAT variable", "a readable head", "a damaged one",
                    job.path + ", variable " + std::to_string(read));
  }
}

/// The number of variables in a file of version 5, which they must fill; libmatio itself takes a
/// file cut short for a shorter one.
size_t count_variables(const Bytes& bytes, bool big_endian, const std::string& path) {
  const auto load = [&](uint64_t at) {
    return big_endian ? load_big<uint32_t>(bytes.span, at) : load_little<uint32_t>(bytes.span, at);
  };
  uint64_t at = 128;
  size_t count = 0;
  while (at < bytes.size()) {
    const uint64_t size = bytes.size() - at >= 8 ? load(at + 4) : bytes.size();
    if (size > bytes.size() - at - std::min<uint64_t>(8, bytes.size() - at)) {
      throw DataError("MAT variable", "its whole length", "the end of the file", path);
    }
    at += 8 + size;
    ++count;
  }
  return count;
}

std::vector<Array> run(const std::string& path, std::string_view name, bool data) {
  const Bytes bytes = open_bytes(path);  // for its errors
  // Version 4 has no magic number and would take anything for a matrix.
  const bool version5 = bytes.size() >= 128 && (bytes.text().substr(126, 2) == "IM" ||
                                                bytes.text().substr(126, 2) == "MI");
  if (!version5)
    throw DataError("MAT file", "the header of version 5 or 7.3",
                    bytes.size() == 0 ? "an empty file" : "another", path);
  const bool big_endian = bytes.text()[126] == 'M';
  Job job{path, name, bytes.size(), data};
  if (bytes.text()[big_endian ? 124 : 125] == '\x01')
    job.variables = count_variables(bytes, big_endian, path);
  return read_isolated([&](ArraySink& sink) { read_file(job, sink); }, bytes.size(), path);
}

bool is_identifier(const std::string& name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !name.empty() && name.size() <= 63 && letter(name.front()) &&
         std::ranges::all_of(
             name, [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '_'; });
}

void write_variable(mat_t* file, const Array& array, bool compress, const std::string& path) {
  if (!is_identifier(array.name))
    throw Unsupported(format_error("MAT name", "a MATLAB identifier", array.name, path));
  const bool complex = number_width(array.dtype) != size_of(array.dtype);
  DType real = array.dtype;
  if (complex) real = array.dtype == DType::complex64 ? DType::float32 : DType::float64;
  if (array.dtype == DType::boolean) real = DType::uint8;
  const ClassRow* row = std::ranges::find(kClasses, real, &ClassRow::dtype);
  if (row == std::end(kClasses))
    throw Unsupported(format_error("MAT", "a dtype that MATLAB has", describe(array), path));
  std::vector<size_t> sizes(array.shape.begin(), array.shape.end());
  while (sizes.size() < 2) sizes.push_back(1);
  std::vector<std::byte> turned(array.bytes());
  const std::vector<int64_t> reversed(array.shape.rbegin(), array.shape.rend());
  if (!turned.empty()) fortran_to_c(array.data, turned.data(), reversed, size_of(array.dtype));
  std::vector<std::byte> parts[2];
  const size_t width = number_width(array.dtype);
  mat_complex_split_t split{};
  if (complex) {
    for (int part = 0; part < 2; ++part) {
      parts[part].resize(turned.size() / 2);
      for (size_t i = 0; i < parts[part].size() / width; ++i) {
        std::memcpy(parts[part].data() + i * width,
                    turned.data() + (2 * i + static_cast<size_t>(part)) * width, width);
      }
    }
    split = {parts[0].data(), parts[1].data()};
  }
  int flags = MAT_F_DONT_COPY_DATA;
  if (complex) flags |= MAT_F_COMPLEX;
  if (array.dtype == DType::boolean) flags |= MAT_F_LOGICAL;
  void* data = complex ? static_cast<void*>(&split) : static_cast<void*>(turned.data());
  const Variable variable(Mat_VarCreate(array.name.c_str(), row->matlab, row->type,
                                        static_cast<int>(sizes.size()), sizes.data(), data, flags));
  if (variable == nullptr ||
      Mat_VarWrite(file, variable.get(), compress ? MAT_COMPRESSION_ZLIB : MAT_COMPRESSION_NONE) !=
          0) {
    throw SystemFailure(format_error("MAT", "to write", "a failure", path));
  }
}

}  // namespace

std::vector<ArrayInfo> list_mat(const std::string& path) {
  std::vector<ArrayInfo> list;
  for (Array& array : run(path, "", false)) list.push_back({array.name, array.shape, array.dtype});
  return list;
}

std::vector<Array> read_mat(const std::string& path, std::string_view name) {
  return run(path, name, true);
}

void write_mat(AtomicFile& file, const std::vector<Array>& arrays, bool compress) {
  const std::lock_guard<std::mutex> lock(hdf5_mutex());
  // Version 5 counts a variable's bytes in 31 bits.
  const bool large =
      std::ranges::any_of(arrays, [](const Array& array) { return array.bytes() >= 0x7fff0000; });
  write_by_path(file, [&](const std::string& path) {
    File target(
        large ? Mat_CreateVer(path.c_str(), "MATLAB 7.3 MAT-file, written by ritz", MAT_FT_MAT73)
              : Mat_CreateVer(path.c_str(), "MATLAB 5.0 MAT-file, written by ritz", MAT_FT_MAT5));
    if (target == nullptr)
      throw SystemFailure(format_error("MAT", "to write", "a failure", file.path()));
    for (const Array& array : arrays) write_variable(target.get(), array, compress, file.path());
    if (Mat_Close(target.release()) != 0)
      throw SystemFailure(format_error("MAT", "to write", "a failure", file.path()));
  });
}

}  // namespace ritz::io
