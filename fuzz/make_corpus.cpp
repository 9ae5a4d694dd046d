// Writes the seeds of the fuzz targets: small valid files of every format.
//
//   make_fuzz_corpus fuzz/corpus
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "ritz/base/error.h"
#include "ritz/io/array_file.h"
#include "ritz/io/bytes.h"
#include "ritz/io/deflate.h"

namespace {

using namespace ritz::io;

Array counting(const std::string& name, std::vector<int64_t> shape, DType dtype) {
  Array array = make_array(name, std::move(shape), dtype);
  for (size_t i = 0; i < array.bytes(); ++i) {
    mutable_data(array)[i] = std::byte(dtype == DType::boolean ? i % 2 : i % 50);
  }
  return array;
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

void make(const std::string& root) {
  for (const char* name :
       {"npy", "npz", "safetensors", "csv", "hdf5", "mat", "idx", "gzip", "png"}) {
    std::filesystem::create_directories(root + "/" + name);
  }
  const Array f32 = counting("w", {2, 3}, DType::float32);
  const Array f64 = counting("b", {3}, DType::float64);
  const Array u8 = counting("g", {4, 3}, DType::uint8);
  const Array flag = counting("flag", {3}, DType::boolean);
  const Array c64 = counting("c", {2, 2}, DType::complex64);
  const WriteOptions plain{.force = true};
  const WriteOptions packed{.force = true, .compress = true};
  write_arrays(root + "/npy/f32.npy", {f32}, plain);
  write_arrays(root + "/npy/c64.npy", {c64}, plain);
  const std::string head = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n";
  write_text(root + "/npy/big_fortran.npy", std::string("\x93NUMPY\x01\x00", 8) +
                                                static_cast<char>(head.size()) + '\0' + head +
                                                "abcdefghijkl");
  write_arrays(root + "/npz/stored.npz", {f32, flag}, plain);
  write_arrays(root + "/npz/deflated.npz", {f32, u8}, packed);
  Array format = make_array("format", {3}, DType::uint8);
  std::memcpy(mutable_data(format), "csr", 3);
  Array shape = make_array("shape", {2}, DType::int64);
  mutable_data(shape)[0] = mutable_data(shape)[8] = std::byte{1};
  Array one = make_array("indices", {1}, DType::int32);
  Array indptr = make_array("indptr", {2}, DType::int32);
  mutable_data(indptr)[4] = std::byte{1};
  write_arrays(root + "/npz/csr.npz",
               {counting("data", {1}, DType::float64), one, indptr, shape, format}, plain);
  write_arrays(root + "/safetensors/mixed.safetensors", {f32, f64, flag},
               {.force = true, .metadata = {{"model", "mlp:2-3"}}});
  write_arrays(root + "/csv/named.csv", {f64, flag}, plain);
  write_arrays(root + "/csv/matrix.csv", {f32}, plain);
  write_text(root + "/csv/quoted.csv", "\"a\"\"b\",c\r\n1e3,\r\n-0.5,nan\n");
  write_arrays(root + "/hdf5/plain.h5", {f32, counting("flow/u", {2}, DType::int16), flag, c64},
               plain);
  write_arrays(root + "/hdf5/chunked.h5", {f32}, packed);
  write_arrays(root + "/mat/plain.mat", {f32, f64, flag, c64}, plain);
  write_arrays(root + "/mat/packed.mat", {f32}, packed);
  write_arrays(root + "/idx/images-ubyte", {counting("", {2, 3, 2}, DType::uint8)}, plain);
  write_arrays(root + "/idx/floats.idx.gz", {f32}, plain);
  write_text(root + "/gzip/ten",
             std::string("\x0a\0", 2) + gzip(std::as_bytes(std::span("0123456789", 10))));
  write_text(root + "/gzip/raw",
             std::string("\x0a\0", 2) + deflate_raw(std::as_bytes(std::span("0123456789", 10))));
  write_arrays(root + "/png/grey.png", {u8}, plain);
  write_arrays(root + "/png/rgba16.png", {counting("", {2, 2, 4}, DType::uint16)}, plain);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: make_fuzz_corpus FOLDER\n", stderr), 2;
  try {
    make(argv[1]);
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "make_fuzz_corpus: %s\n", error.what()), 1;
  }
}
