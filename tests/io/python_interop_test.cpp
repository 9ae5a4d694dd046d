// without libtorch
// Files of numpy, h5py, scipy and safetensors are read here, and ours there. RITZ_PYTHON names the
// interpreter (python3 if not set); what it lacks is left out.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "ritz/base/error.h"
#include "ritz/io/array_file.h"
#include "ritz/io/npz.h"
#include "ritz/io/safetensors.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::io;
using namespace ritz::test;

constexpr DType kDTypes[] = {DType::boolean,   DType::int8,      DType::int16,   DType::int32,
                             DType::int64,     DType::uint8,     DType::uint16,  DType::uint32,
                             DType::uint64,    DType::float16,   DType::float32, DType::float64,
                             DType::complex64, DType::complex128};

std::string python() {
  const char* name = std::getenv("RITZ_PYTHON");
  return name != nullptr ? name : "python3";
}

/// Runs a command; its output, or nothing where it failed.
std::string run(const std::string& command) {
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string text;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
  return ::pclose(pipe) == 0 ? text + " " : "";
}

std::string script(const std::string& word, const std::string& folder) {
  return run(python() + " " RITZ_SOURCE_DIR "/tests/io/python_interop.py " + word + " " + folder);
}

bool has_numpy() {
  return !run(python() + " -c 'import numpy; print(1)' 2>/dev/null").empty();
}

/// A whole number below 64 in float16: exact.
uint16_t half_of(int64_t k) {
  if (k == 0) return 0;
  int exponent = 0;
  while (k >> (exponent + 1) != 0) ++exponent;
  return static_cast<uint16_t>((exponent + 15) << 10 | (k << (10 - exponent) & 0x3ff));
}

/// The same array as the script's make().
Array make(DType dtype, const std::string& shape_name) {
  std::vector<int64_t> shape;
  if (shape_name == "m") shape = {3, 5};
  if (shape_name == "t") shape = {2, 3, 4};
  if (shape_name == "v") shape = {7};
  Array array = make_array(std::string(name_of(dtype)) + "_" + shape_name, shape, dtype);
  std::byte* to = mutable_data(array);
  const auto fill = [&]<class T>(T, int parts) {
    for (int64_t k = 0; k < array.count(); ++k) {
      for (int part = 0; part < parts; ++part) {
        const T value = static_cast<T>(part == 0 ? k : -k);
        std::memcpy(to + (k * parts + part) * static_cast<int64_t>(sizeof(T)), &value,
                    sizeof value);
      }
    }
  };
  if (dtype == DType::boolean) {
    for (int64_t k = 0; k < array.count(); ++k) to[k] = std::byte(k % 2);
  } else if (dtype == DType::float16) {
    for (int64_t k = 0; k < array.count(); ++k) {
      const uint16_t value = half_of(k);
      std::memcpy(to + 2 * k, &value, 2);
    }
  } else if (dtype == DType::float32 || dtype == DType::complex64) {
    fill(float{}, dtype == DType::float32 ? 1 : 2);
  } else if (dtype == DType::float64 || dtype == DType::complex128) {
    fill(double{}, dtype == DType::float64 ? 1 : 2);
  } else if (size_of(dtype) == 1) {
    fill(uint8_t{}, 1);
  } else if (size_of(dtype) == 2) {
    fill(uint16_t{}, 1);
  } else if (size_of(dtype) == 4) {
    fill(uint32_t{}, 1);
  } else {
    fill(uint64_t{}, 1);
  }
  return array;
}

std::vector<Array> make_all(std::initializer_list<DType> without, const std::string& shapes) {
  std::vector<Array> arrays;
  for (const DType dtype : kDTypes) {
    if (std::ranges::find(without, dtype) != without.end()) continue;
    for (const char shape : shapes) arrays.push_back(make(dtype, std::string(1, shape)));
  }
  return arrays;
}

const std::string kShapes = "mtvs";

void expect_read(const std::string& path, const std::vector<Array>& expected) {
  for (const Array& want : expected) {
    const Array got = read_array(path + ":" + want.name);
    EXPECT_EQ(got.shape, want.shape) << path << " " << want.name;
    EXPECT_EQ(got.dtype, want.dtype) << path << " " << want.name;
    ASSERT_EQ(got.bytes(), want.bytes());
    EXPECT_TRUE(same_bytes(got, want)) << path << " " << want.name;
  }
}

TEST(PythonInterop, FilesOfNumpyAndItsFriendsAreRead) {
  if (!has_numpy()) GTEST_SKIP() << python() << " has no numpy";
  const TemporaryFolder folder;
  const std::string done = script("write", folder / "");
  ASSERT_NE(done, "");
  for (const char* name : {"stored.npz", "deflated.npz", "big.npz", "stream.npz",
                           "stream_deflated.npz", "zip64.npz"}) {
    expect_read(folder / name, make_all({}, kShapes));
  }
  expect_read(folder / "fortran.npz",
              make_all({}, "mtv"));  // numpy makes a vector of a scalar here
  EXPECT_THROW(read_array(folder / "objects.npy"), ritz::DataError);
  EXPECT_THROW(read_array(folder / "structured.npy"), ritz::DataError);
  if (done.find("h5") != std::string::npos) {
    expect_read(folder / "plain.h5", make_all({}, kShapes));
    expect_read(folder / "packed.h5", make_all({}, kShapes));
    expect_read(folder / "v73.mat", make_all({DType::float16}, "mt"));
  }
  if (done.find("mat") != std::string::npos) {
    // scipy writes bool as a logical array.
    expect_read(folder / "plain.mat", make_all({DType::float16}, "mt"));
    expect_read(folder / "packed.mat", make_all({DType::float16}, "mt"));
  }
  if (done.find("csr") != std::string::npos) {
    const CsrArrays csr = read_csr_npz(folder / "csr.npz");
    EXPECT_EQ(csr.rows, 3);
    EXPECT_EQ(csr.cols, 3);
    EXPECT_EQ(std::vector<double>(doubles(csr.data), doubles(csr.data) + 3),
              (std::vector<double>{1.5, 2, -3}));
    const auto* indptr = reinterpret_cast<const int64_t*>(csr.indptr.data);
    EXPECT_EQ(std::vector<int64_t>(indptr, indptr + 4), (std::vector<int64_t>{0, 1, 1, 3}));
  }
  if (done.find("safetensors") != std::string::npos) {
    expect_read(folder / "plain.safetensors",
                make_all({DType::complex64, DType::complex128}, kShapes));
    EXPECT_EQ(read_safetensors(folder / "plain.safetensors").metadata.at("k"), "v");
  }
}

TEST(PythonInterop, OurFilesAreReadByThem) {
  if (!has_numpy()) GTEST_SKIP() << python() << " has no numpy";
  const TemporaryFolder folder;
  write_arrays(folder / "ritz.npz", make_all({}, kShapes));
  write_arrays(folder / "ritz_deflated.npz", make_all({}, kShapes), {.compress = true});
  write_arrays(folder / "ritz.npy", {make(DType::float32, "m")});
  write_arrays(folder / "ritz.h5", make_all({}, kShapes));
  write_arrays(folder / "ritz_packed.h5", make_all({}, kShapes), {.compress = true});
  write_arrays(folder / "ritz.mat", make_all({DType::float16}, "mt"));
  write_arrays(folder / "ritz_packed.mat", make_all({DType::float16}, "mt"), {.compress = true});
  write_arrays(folder / "ritz.safetensors",
               make_all({DType::complex64, DType::complex128}, kShapes));
  EXPECT_NE(script("check", folder / ""), "");
}

}  // namespace
