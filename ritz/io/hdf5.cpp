#include "ritz/io/hdf5.h"

#include <hdf5.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "ritz/base/error.h"
#include "ritz/io/bytes.h"
#include "ritz/io/detail/hdf5.h"
#include "ritz/io/detail/isolated.h"

namespace ritz::io {
namespace {

/// An identifier of the library and the function that gives it back.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  Handle& operator=(Handle&&) = delete;
  operator hid_t() const { return id_; }
  bool close() { return close_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

struct NativeType {
  DType dtype;
  hid_t id;
};

/// The library's types are variables that it sets when it starts.
std::vector<NativeType> native_types() {
  return {{DType::int8, H5T_NATIVE_INT8},     {DType::int16, H5T_NATIVE_INT16},
          {DType::int32, H5T_NATIVE_INT32},   {DType::int64, H5T_NATIVE_INT64},
          {DType::uint8, H5T_NATIVE_UINT8},   {DType::uint16, H5T_NATIVE_UINT16},
          {DType::uint32, H5T_NATIVE_UINT32}, {DType::uint64, H5T_NATIVE_UINT64},
          {DType::float32, H5T_NATIVE_FLOAT}, {DType::float64, H5T_NATIVE_DOUBLE}};
}

/// The type of an array in memory, which is also the one it is written in; negative where there is
/// none.
Handle memory_type(DType dtype) {
  for (const NativeType& native : native_types()) {
    if (native.dtype == dtype) return {H5Tcopy(native.id), H5Tclose};
  }
  Handle none(-1, H5Tclose);
  if (dtype == DType::boolean) {
    Handle type(H5Tenum_create(H5T_NATIVE_INT8), H5Tclose);
    int8_t value = 0;
    H5Tenum_insert(type, "FALSE", &value);
    value = 1;
    H5Tenum_insert(type, "TRUE", &value);
    return type;
  }
  if (dtype == DType::float16) {
    Handle type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
  }
  if (dtype == DType::complex64 || dtype == DType::complex128) {
    const size_t width = number_width(dtype);
    const hid_t part = width == 4 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE;
    Handle type(H5Tcreate(H5T_COMPOUND, 2 * width), H5Tclose);
    H5Tinsert(type, "r", 0, part);
    H5Tinsert(type, "i", width, part);
    return type;
  }
  return none;
}

/// The dtype of numbers of this type in a file, or none.
std::optional<DType> number_type(hid_t type) {
  const size_t size = H5Tget_size(type);
  if (H5Tget_class(type) == H5T_FLOAT) {
    if (size == 2 && H5Tget_precision(type) == 16 && H5Tget_ebias(type) == 15)
      return DType::float16;
    if (size == 4) return DType::float32;
    if (size == 8) return DType::float64;
    return std::nullopt;
  }
  if (H5Tget_class(type) != H5T_INTEGER) return std::nullopt;
  const bool is_signed = H5Tget_sign(type) != H5T_SGN_NONE;
  if (size == 1) return is_signed ? DType::int8 : DType::uint8;
  if (size == 2) return is_signed ? DType::int16 : DType::uint16;
  if (size == 4) return is_signed ? DType::int32 : DType::uint32;
  if (size == 8) return is_signed ? DType::int64 : DType::uint64;
  return std::nullopt;
}

std::string member_name(hid_t type, unsigned index) {
  char* text = H5Tget_member_name(type, index);
  std::string name = text != nullptr ? text : "";
  H5free_memory(text);
  return name;
}

std::optional<DType> dtype_of(hid_t type) {
  if (H5Tget_class(type) == H5T_ENUM) {
    const bool boolean = H5Tget_size(type) == 1 && H5Tget_nmembers(type) == 2 &&
                         member_name(type, 0) == "FALSE" && member_name(type, 1) == "TRUE";
    return boolean ? std::optional(DType::boolean) : std::nullopt;
  }
  if (H5Tget_class(type) == H5T_COMPOUND) {
    if (H5Tget_nmembers(type) != 2 || member_name(type, 0) != "r" || member_name(type, 1) != "i") {
      return std::nullopt;
    }
    const Handle real(H5Tget_member_type(type, 0), H5Tclose);
    const Handle imaginary(H5Tget_member_type(type, 1), H5Tclose);
    if (number_type(real) != number_type(imaginary)) return std::nullopt;
    if (number_type(real) == DType::float32) return DType::complex64;
    if (number_type(real) == DType::float64) return DType::complex128;
    return std::nullopt;
  }
  return number_type(type);
}

/// Refuses what would make the library open other files or load code.
void check_storage(hid_t dataset, uint64_t file_bytes, size_t element, const std::string& where) {
  const Handle plan(H5Dget_create_plist(dataset), H5Pclose);
  const H5D_layout_t layout = H5Pget_layout(plan);
  const bool inside = layout == H5D_COMPACT || layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED;
  if (!inside || H5Pget_external_count(plan) != 0) {
    throw Unsupported(
        format_error("dataset", "data in the file itself", "external or virtual ones", where));
  }
  constexpr H5Z_filter_t kFilters[] = {H5Z_FILTER_DEFLATE,    H5Z_FILTER_SHUFFLE,
                                       H5Z_FILTER_FLETCHER32, H5Z_FILTER_SZIP,
                                       H5Z_FILTER_NBIT,       H5Z_FILTER_SCALEOFFSET};
  for (int i = 0; i < H5Pget_nfilters(plan); ++i) {
    size_t values = 0;
    const H5Z_filter_t filter = H5Pget_filter2(plan, static_cast<unsigned>(i), nullptr, &values,
                                               nullptr, 0, nullptr, nullptr);
    if (std::ranges::find(kFilters, filter) == std::end(kFilters)) {
      throw Unsupported(format_error("dataset", "one of HDF5's own filters",
                                     "filter " + std::to_string(filter), where));
    }
  }
  if (layout == H5D_CHUNKED) {
    hsize_t sizes[H5S_MAX_RANK];
    const int rank = H5Pget_chunk(plan, H5S_MAX_RANK, sizes);
    std::vector<int64_t> chunk(sizes, sizes + std::max(rank, 0));
    checked_bytes(chunk, DType::complex128, where);
    uint64_t bytes = element;
    for (const int64_t n : chunk) bytes *= static_cast<uint64_t>(n);
    check_expansion(file_bytes, bytes, where);
  }
}

std::vector<int64_t> shape_of(hid_t dataset, const std::string& where) {
  const Handle space(H5Dget_space(dataset), H5Sclose);
  if (H5Sget_simple_extent_type(space) == H5S_NULL) return {0};
  hsize_t sizes[H5S_MAX_RANK];
  const int rank = H5Sget_simple_extent_dims(space, sizes, nullptr);
  if (rank < 0) throw DataError("dataset", "a shape", "none", where);
  return {sizes, sizes + rank};
}

struct Job {
  const std::string& path;
  std::string_view name;  // empty: all
  uint64_t file_bytes;
  bool data;
};

void read_dataset(hid_t dataset, const std::string& name, const Job& job, ArraySink& sink) {
  const std::string where = job.path + ":" + name;
  const Handle type(H5Dget_type(dataset), H5Tclose);
  const std::optional<DType> dtype = dtype_of(type);
  if (!dtype) {
    if (job.name.empty()) return;
    throw Unsupported(format_error("dataset", "numbers", "another type", where));
  }
  const ArrayInfo info{name, shape_of(dataset, where), *dtype};
  const uint64_t need = checked_bytes(info.shape, info.dtype, where);
  if (!job.data) {
    sink.add(info, false);
    return;
  }
  check_storage(dataset, job.file_bytes, size_of(*dtype), where);
  sink.claim(need, where);
  std::byte* to = sink.add(info, true);
  const Handle memory = memory_type(*dtype);
  if (need > 0 && H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, to) < 0) {
    throw DataError("dataset", "readable data", "damaged ones", where);
  }
}

herr_t collect(hid_t, const char* name, const H5O_info_t* info, void* names) {
  if (info->type == H5O_TYPE_DATASET)
    static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

/// Runs in the child. Objects are found by walking hard links, so soft and external ones lead
/// nowhere.
void read_file(const Job& job, ArraySink& sink) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const Handle file(H5Fopen(job.path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  if (file < 0) throw DataError("HDF5 file", "one that opens", "a damaged one", job.path);
  std::vector<std::string> names;
  if (H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, collect, &names, H5O_INFO_BASIC) < 0) {
    throw DataError("HDF5 file", "groups that can be walked", "damaged ones", job.path);
  }
  for (const std::string& name : names) {
    if (!job.name.empty() && name != job.name) continue;
    const Handle dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
    if (dataset < 0)
      throw DataError("dataset", "one that opens", "a damaged one", job.path + ":" + name);
    read_dataset(dataset, name, job, sink);
  }
}

std::vector<Array> run(const std::string& path, std::string_view name, bool data) {
  while (name.starts_with('/')) name.remove_prefix(1);
  const Bytes bytes = open_bytes(path);  // for its errors and its signature
  bool found = false;
  for (size_t at = 0; !found && at < bytes.size(); at = at == 0 ? 512 : at * 2) {
    found = bytes.text().substr(at).starts_with("\x89HDF\r\n\x1a\n");
  }
  if (!found)
    throw DataError("HDF5 file", "its signature", bytes.size() == 0 ? "an empty file" : "none",
                    path);
  const Job job{path, name, bytes.size(), data};
  return read_isolated([&](ArraySink& sink) { read_file(job, sink); }, bytes.size(), path);
}

void check(bool good, const std::string& path) {
  if (!good) throw SystemFailure(format_error("HDF5", "to write", "a failure", path));
}

/// Chunks of at most 1 MiB: the leading sizes are halved first, so that chunks stay long in memory.
std::vector<hsize_t> chunk_of(const Array& array) {
  constexpr uint64_t kBytes = uint64_t{1} << 20;
  std::vector<hsize_t> chunk(array.shape.begin(), array.shape.end());
  uint64_t bytes = array.bytes();
  for (hsize_t& n : chunk) {
    while (n > 1 && bytes > kBytes) {
      bytes /= n;
      n = (n + 1) / 2;
      bytes *= n;
    }
  }
  return chunk;
}

void write_dataset(hid_t file, const Array& array, bool compress, const std::string& path) {
  const Handle type = memory_type(array.dtype);
  if (type < 0)
    throw Unsupported(format_error("HDF5", "a dtype that h5py has", describe(array), path));
  const std::vector<hsize_t> sizes(array.shape.begin(), array.shape.end());
  const Handle space(sizes.empty()
                         ? H5Screate(H5S_SCALAR)
                         : H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), nullptr),
                     H5Sclose);
  const Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links, 1);
  const Handle plan(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(plan, false);  // the same arrays give the same file
  if (compress && !sizes.empty() && array.count() > 0) {
    const std::vector<hsize_t> chunk = chunk_of(array);
    H5Pset_chunk(plan, static_cast<int>(chunk.size()), chunk.data());
    H5Pset_shuffle(plan);
    H5Pset_deflate(plan, 4);
  }
  Handle dataset(H5Dcreate2(file, array.name.c_str(), type, space, links, plan, H5P_DEFAULT),
                 H5Dclose);
  check(space >= 0 && dataset >= 0, path + ":" + array.name);
  check(
      array.count() == 0 || H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, array.data) >= 0,
      path);
  check(dataset.close(), path);
}

}  // namespace

std::mutex& hdf5_mutex() {
  static std::mutex mutex;
  return mutex;
}

std::vector<ArrayInfo> list_hdf5(const std::string& path) {
  std::vector<ArrayInfo> list;
  for (Array& array : run(path, "", false)) list.push_back({array.name, array.shape, array.dtype});
  return list;
}

std::vector<Array> read_hdf5(const std::string& path, std::string_view name) {
  return run(path, name, true);
}

void write_hdf5(AtomicFile& file, const std::vector<Array>& arrays, bool compress) {
  const std::lock_guard<std::mutex> lock(hdf5_mutex());
  H5E_auto2_t report = nullptr;
  void* report_data = nullptr;
  H5Eget_auto2(H5E_DEFAULT, &report, &report_data);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const std::shared_ptr<const void> restore(
      nullptr, [=](const void*) { H5Eset_auto2(H5E_DEFAULT, report, report_data); });
  write_by_path(file, [&](const std::string& path) {
    Handle target(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
    check(target >= 0, file.path());
    for (const Array& array : arrays) write_dataset(target, array, compress, file.path());
    check(H5Fflush(target, H5F_SCOPE_GLOBAL) >= 0 && target.close(), file.path());
  });
}

}  // namespace ritz::io
