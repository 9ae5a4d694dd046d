#include "ritz/io/array_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "ritz/base/atomic_file.h"
#include "ritz/base/error.h"
#include "ritz/io/bytes.h"
#include "ritz/io/csv.h"
#include "ritz/io/hdf5.h"
#include "ritz/io/idx.h"
#include "ritz/io/mat.h"
#include "ritz/io/npy.h"
#include "ritz/io/npz.h"
#include "ritz/io/png_image.h"
#include "ritz/io/safetensors.h"

namespace ritz::io {
namespace {

enum class Format { npy, npz, safetensors, csv, hdf5, mat, idx, png };

bool is_file(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

Format format_of(const std::string& path) {
  constexpr std::pair<std::string_view, Format> kEndings[] = {
      {".npy", Format::npy},   {".npz", Format::npz},      {".safetensors", Format::safetensors},
      {".csv", Format::csv},   {".h5", Format::hdf5},      {".hdf5", Format::hdf5},
      {".mat", Format::mat},   {".idx", Format::idx},      {".idx.gz", Format::idx},
      {"-ubyte", Format::idx}, {"-ubyte.gz", Format::idx}, {".png", Format::png}};
  std::string lower = path;
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const auto& [ending, format] : kEndings) {
    if (lower.ends_with(ending)) return format;
  }
  // Text is what goes through a pipe.
  if (path == "-" || path.starts_with("/dev/") || path.starts_with("/proc/self/fd/"))
    return Format::csv;
  throw DataError(
      "file name",
      "an ending of .npy .npz .safetensors .csv .h5 .hdf5 .mat .idx -ubyte (or .gz) .png", path);
}

std::string without_slash(std::string_view name) {
  while (name.starts_with('/')) name.remove_prefix(1);
  return std::string(name);
}

[[noreturn]] void fail_name(const ArrayPath& path, const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < names.size(); ++i) {
    list += (i == 0 ? "" : ", ") + (i == 20 ? "..." : names[i]);
    if (i == 20) break;
  }
  if (names.empty()) list = "none";
  throw DataError("array name", path.name.empty() ? "one of several (FILE:NAME)" : path.name, list,
                  path.file);
}

std::vector<std::string> names_of(const std::vector<ArrayInfo>& arrays) {
  std::vector<std::string> names;
  for (const ArrayInfo& array : arrays) names.push_back(array.name);
  return names;
}

/// All arrays of the file, where the format holds many only those called `name` if it is not empty.
std::vector<Array> read_format(const ArrayPath& path) {
  switch (format_of(path.file)) {
    case Format::npz:
      return parse_npz(open_bytes(path.file), path.name, path.file);
    case Format::hdf5:
      return read_hdf5(path.file, path.name);
    case Format::mat:
      return read_mat(path.file, path.name);
    case Format::safetensors: {
      std::vector<Array> arrays = read_safetensors(path.file).arrays;
      if (!path.name.empty())
        std::erase_if(arrays, [&](const Array& array) { return array.name != path.name; });
      return arrays;
    }
    case Format::csv: {
      CsvTable table = parse_csv(open_bytes(path.file), path.file);
      if (!path.name.empty()) return {csv_column(table, path.name, path.file)};
      return {std::move(table.values)};
    }
    case Format::npy:
    case Format::idx:
    case Format::png:
      break;
  }
  // One array without a name.
  if (!path.name.empty())
    throw DataError("array name", "none, for the file holds one array", path.name, path.file);
  const Bytes bytes = open_bytes(path.file);
  if (format_of(path.file) == Format::npy) return {parse_npy(bytes, "", path.file)};
  if (format_of(path.file) == Format::idx) return {parse_idx(bytes, path.file)};
  return {parse_png(bytes, path.file)};
}

std::vector<ArrayInfo> list_format(const ArrayPath& path) {
  switch (format_of(path.file)) {
    case Format::npy: {
      Layout layout = parse_npy_header(open_bytes(path.file).span, path.file).layout;
      return {{"", std::move(layout.shape), layout.dtype}};
    }
    case Format::npz:
      return list_npz(open_bytes(path.file), path.file);
    case Format::hdf5:
      return list_hdf5(path.file);
    case Format::mat:
      return list_mat(path.file);
    case Format::idx:
      return {list_idx(open_bytes(path.file), path.file)};
    case Format::safetensors:
    case Format::csv:
    case Format::png:
      break;
  }
  std::vector<ArrayInfo> list;
  for (Array& array : read_format(path)) list.push_back({array.name, array.shape, array.dtype});
  return list;
}

void write_one(AtomicFile& file, Format format, const std::vector<Array>& arrays, bool compress) {
  if (arrays.size() != 1) {
    throw Unsupported(format_error(
        "output", "one array for this format (several: .npz, .h5, .mat, .safetensors, .csv)",
        std::to_string(arrays.size()), file.path()));
  }
  if (format == Format::npy) write_npy(file, arrays[0]);
  if (format == Format::idx) write_idx(file, arrays[0], compress);
  if (format == Format::png) write_png(file, arrays[0]);
}

/// Every array has a name, and none has another's.
std::vector<Array> named(std::vector<Array> arrays, const std::string& path) {
  std::vector<std::string> names;
  for (Array& array : arrays) {
    array.name = array.name.empty() ? "data" : without_slash(array.name);
    names.push_back(array.name);
  }
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  if (twice != names.end()) throw InvalidArgument("array names", "every name once", *twice, path);
  return arrays;
}

}  // namespace

ArrayPath parse_array_path(const std::string& path) {
  if (path == "-" || is_file(path)) return {path, ""};
  for (size_t colon = path.rfind(':'); colon != std::string::npos && colon > 0;
       colon = path.rfind(':', colon - 1)) {
    if (is_file(path.substr(0, colon))) return {path.substr(0, colon), path.substr(colon + 1)};
  }
  // Nothing is there under any reading: the error that follows shall name the file.
  const size_t colon = path.find(':');
  if (colon == std::string::npos || colon == 0) return {path, ""};
  return {path.substr(0, colon), path.substr(colon + 1)};
}

std::vector<ArrayInfo> list_arrays(const std::string& path) {
  const ArrayPath parsed = parse_array_path(path);
  std::vector<ArrayInfo> list = list_format(parsed);
  if (parsed.name.empty()) return list;
  const std::vector<std::string> names = names_of(list);
  std::erase_if(list, [&](const ArrayInfo& array) {
    return without_slash(array.name) != without_slash(parsed.name);
  });
  if (list.empty()) fail_name(parsed, names);
  return list;
}

std::vector<Array> read_arrays(const std::string& path) {
  const ArrayPath parsed = parse_array_path(path);
  std::vector<Array> arrays = read_format(parsed);
  if (arrays.empty() && !parsed.name.empty())
    fail_name(parsed, names_of(list_format({parsed.file, ""})));
  return arrays;
}

Array read_array(const std::string& path) {
  const ArrayPath parsed = parse_array_path(path);
  if (parsed.name.empty()) {
    // One look at the names before reading gigabytes for nothing.
    const Format format = format_of(parsed.file);
    if (format == Format::npz || format == Format::hdf5 || format == Format::mat) {
      const std::vector<ArrayInfo> list = list_format(parsed);
      if (list.size() != 1) fail_name(parsed, names_of(list));
    }
  }
  std::vector<Array> arrays = read_arrays(path);
  if (arrays.size() != 1) {
    std::vector<std::string> names;
    for (const Array& array : arrays) names.push_back(array.name);
    fail_name(parsed, names);
  }
  return std::move(arrays.front());
}

void check_array_target(const std::string& path, bool force) {
  try {
    format_of(path);
  } catch (const DataError& error) {
    throw UsageError(error.what());
  }
  check_target(path, force);
}

void write_arrays(const std::string& path, const std::vector<Array>& arrays,
                  const WriteOptions& options) {
  check_array_target(path, options.force);
  const Format format = format_of(path);
  if (format == Format::safetensors) {
    return write_safetensors(path, named(arrays, path), options.metadata, options.force);
  }
  AtomicFile file(path, options.force);
  switch (format) {
    case Format::npz:
      write_npz(file, named(arrays, path), options.compress);
      break;
    case Format::hdf5:
      write_hdf5(file, named(arrays, path), options.compress);
      break;
    case Format::mat:
      write_mat(file, named(arrays, path), options.compress);
      break;
    case Format::csv:
      write_csv(file, arrays.size() > 1 ? named(arrays, path) : arrays);
      break;
    case Format::npy:
    case Format::png:
    case Format::idx:
    case Format::safetensors:
      write_one(file, format, arrays, path.ends_with(".gz"));
      break;
  }
  file.commit();
}

}  // namespace ritz::io
