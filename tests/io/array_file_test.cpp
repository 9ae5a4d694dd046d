// without libtorch
#include "ritz/io/array_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "ritz/base/error.h"
#include "ritz/io/npz.h"
#include "ritz/io/safetensors.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::io;
using namespace ritz::test;

constexpr DType kAll[] = {DType::boolean, DType::int8,      DType::int16,     DType::int32,
                          DType::int64,   DType::uint8,     DType::uint16,    DType::uint32,
                          DType::uint64,  DType::float16,   DType::bfloat16,  DType::float32,
                          DType::float64, DType::complex64, DType::complex128};

const std::vector<std::vector<int64_t>> kShapes = {{},     {0},       {1},         {5, 0, 3},
                                                   {7, 3}, {3, 5, 7}, {2, 3, 4, 5}};

struct Case {
  const char* file;
  bool compress;
};

class RoundTrip : public testing::TestWithParam<Case> {};

TEST_P(RoundTrip, KeepsNamesShapesDtypesAndBytes) {
  const TemporaryFolder folder;
  const std::string path = folder / GetParam().file;
  const std::string ending = path.substr(path.rfind('.'));
  const bool many =
      ending == ".npz" || ending == ".h5" || ending == ".safetensors" || ending == ".mat";
  std::vector<Array> arrays;
  for (const DType dtype : kAll) {
    const bool half = dtype == DType::float16 || dtype == DType::bfloat16;
    if (dtype == DType::bfloat16 && ending != ".safetensors") continue;
    if (half && ending == ".mat") continue;
    if (dtype == DType::complex128 && ending == ".safetensors") continue;
    const bool idx = dtype == DType::uint8 || dtype == DType::int8 || dtype == DType::int16 ||
                     dtype == DType::int32 || dtype == DType::float32 || dtype == DType::float64;
    if ((ending == ".gz" || ending == ".idx") && !idx) continue;
    for (const auto& shape : kShapes) {
      if (ending == ".mat" && shape.size() < 2) continue;
      const Array array = counting("a" + std::to_string(arrays.size()), shape, dtype);
      arrays.push_back(array);
      if (many) continue;
      write_arrays(path, {array}, {.force = true});
      const Array back = read_array(path);
      EXPECT_EQ(back.shape, shape);
      EXPECT_EQ(back.dtype, dtype);
      EXPECT_TRUE(same_bytes(back, array)) << describe(array);
      EXPECT_EQ(list_arrays(path)[0].shape, shape);
    }
  }
  ASSERT_FALSE(arrays.empty());
  if (!many) return;
  write_arrays(path, arrays, {.compress = GetParam().compress});
  const std::vector<ArrayInfo> list = list_arrays(path);
  ASSERT_EQ(list.size(), arrays.size());
  const std::vector<Array> all = read_arrays(path);
  ASSERT_EQ(all.size(), arrays.size());
  for (const Array& array : arrays) {
    bool found = false;
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].name != array.name) continue;
      found = true;
      EXPECT_EQ(all[i].shape, array.shape);
      EXPECT_EQ(all[i].dtype, array.dtype) << describe(array);
      EXPECT_TRUE(same_bytes(all[i], array)) << describe(array);
      EXPECT_EQ(list[i].name, array.name);
      EXPECT_EQ(list[i].shape, array.shape);
      EXPECT_EQ(list[i].dtype, array.dtype);
    }
    EXPECT_TRUE(found) << array.name;
  }
  EXPECT_TRUE(same_bytes(read_array(path + ":a4"), arrays[4]));
  EXPECT_THROW(read_array(path), ritz::DataError);
  EXPECT_THROW(read_array(path + ":absent"), ritz::DataError);
}

INSTANTIATE_TEST_SUITE_P(Formats, RoundTrip,
                         testing::Values(Case{"x.npy", false}, Case{"x.npz", false},
                                         Case{"y.npz", true}, Case{"x.safetensors", false},
                                         Case{"x.h5", false}, Case{"y.h5", true},
                                         Case{"x.mat", false}, Case{"y.mat", true},
                                         Case{"x.idx", false}, Case{"x-ubyte.gz", false}));

TEST(ArrayFile, AFileOfTheWholeNameGoesFirst) {
  const TemporaryFolder folder;
  write_arrays(folder / "run.npz", {counting("X", {2}, DType::int32)});
  EXPECT_EQ(parse_array_path(folder / "run.npz:X").name, "X");
  write_text(folder / "run.npz:X", "");
  EXPECT_EQ(parse_array_path(folder / "run.npz:X").name, "");
  EXPECT_EQ(parse_array_path(folder / "absent.h5:/flow/u").name, "/flow/u");
}

TEST(ArrayFile, GroupsAreReadWithAndWithoutALeadingSlash) {
  const TemporaryFolder folder;
  write_arrays(folder / "run.h5",
               {counting("/flow/u", {2, 3}, DType::float32), counting("t", {2}, DType::float64)});
  EXPECT_EQ(read_array(folder / "run.h5:/flow/u").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(read_array(folder / "run.h5:flow/u").name, "flow/u");
}

TEST(ArrayFile, AnUnnamedArrayBecomesData) {
  const TemporaryFolder folder;
  for (const char* name : {"x.npz", "x.h5", "x.mat", "x.safetensors"}) {
    write_arrays(folder / name, {counting("", {3, 2}, DType::float32)});
    EXPECT_EQ(list_arrays(folder / name)[0].name, "data") << name;
  }
}

TEST(ArrayFile, StoredMembersOfNpzAreViewsOfTheFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "big.npz";
  write_arrays(path, {counting("a", {3}, DType::uint8), counting("b", {1 << 18}, DType::float64)});
  const Array b = read_array(path + ":b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data) % 64, 0u);
  const Bytes bytes = open_bytes(path);
  const Array view = parse_npz(bytes, "b", path).at(0);
  EXPECT_GE(view.data, bytes.data());
  EXPECT_LT(view.data, bytes.data() + bytes.size());
}

TEST(ArrayFile, DuplicateNamesAreRefused) {
  const TemporaryFolder folder;
  const std::vector<Array> twice = {counting("a", {2}, DType::int8),
                                    counting("a", {2}, DType::int8)};
  for (const char* name : {"x.npz", "x.h5", "x.mat", "x.safetensors", "x.csv"}) {
    EXPECT_THROW(write_arrays(folder / name, twice), ritz::InvalidArgument) << name;
    EXPECT_FALSE(std::filesystem::exists(folder / name)) << name;
  }
}

TEST(ArrayFile, MissingEmptyTruncatedAndFoldersAreDataErrors) {
  const TemporaryFolder folder;
  for (const char* name : {"x.npy", "x.npz", "x.safetensors", "x.csv", "x.h5", "x.mat", "x.idx",
                           "x-ubyte.gz", "x.png"}) {
    const std::string path = folder / name;
    EXPECT_THROW(read_array(path), ritz::DataError) << name;
    write_text(path, "");
    EXPECT_THROW(read_array(path), ritz::DataError) << name;
    EXPECT_THROW(list_arrays(path), ritz::DataError) << name;
    std::filesystem::remove(path);
    write_arrays(path, {counting("", {30, 40}, DType::uint8)}, {.compress = true});
    if (std::string(name) == "x.csv") continue;
    const std::string whole = read_text(path);
    for (const size_t keep : {whole.size() / 4, whole.size() / 2, whole.size() - 1}) {
      write_text(path, whole.substr(0, keep));
      EXPECT_THROW(read_array(path), ritz::DataError)
          << name << " cut at " << keep << " of " << whole.size();
    }
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    EXPECT_THROW(read_array(path), ritz::DataError) << name;
    EXPECT_THROW(write_arrays(path, {counting("", {2, 2}, DType::uint8)}, {.force = true}),
                 ritz::DataError)
        << name;
  }
}

TEST(ArrayFile, AnUnreadableFileIsADataError) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads everything";
  const TemporaryFolder folder;
  write_arrays(folder / "x.npy", {counting("", {2}, DType::int8)});
  std::filesystem::permissions(folder / "x.npy", std::filesystem::perms::none);
  EXPECT_THROW(read_array(folder / "x.npy"), ritz::DataError);
}

TEST(ArrayFile, AnUnknownEndingOfATargetIsAUsageError) {
  EXPECT_THROW(check_array_target("x.txt", false), ritz::UsageError);
  EXPECT_THROW(read_array("x.txt"), ritz::DataError);
}

TEST(ArrayFile, AFullDeviceIsASystemFailure) {
  EXPECT_THROW(write_arrays("/dev/full", {counting("", {20, 10}, DType::float64)}),
               ritz::SystemFailure);
}

TEST(ArrayFile, NanAndInfArePreservedInBinaryFormats) {
  const TemporaryFolder folder;
  const double inf = std::numeric_limits<double>::infinity();
  const Array array = of_doubles("x", {2, 2}, {std::nan(""), inf, -inf, -0.0});
  for (const char* name : {"x.npy", "x.npz", "x.safetensors", "x.h5", "x.mat", "x.idx"}) {
    write_arrays(folder / name, {array});
    EXPECT_TRUE(same_bytes(read_array(folder / name), array)) << name;
  }
}

TEST(ArrayFile, SafetensorsKeepsItsMetadata) {
  const TemporaryFolder folder;
  const std::map<std::string, std::string> metadata = {{"model", "mlp:2-3"}, {"quote", "\"\n"}};
  write_arrays(folder / "x.safetensors", {counting("w", {3}, DType::float32)},
               {.metadata = metadata});
  EXPECT_EQ(read_safetensors(folder / "x.safetensors").metadata, metadata);
}

TEST(ArrayFile, PngKeepsEveryShapeItHas) {
  const TemporaryFolder folder;
  for (const DType dtype : {DType::uint8, DType::uint16}) {
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{5, 7}, {5, 7, 2}, {1, 1, 3}, {3, 2, 4}}) {
      const Array array = counting("", shape, dtype);
      write_arrays(folder / "x.png", {array}, {.force = true});
      const Array back = read_array(folder / "x.png");
      EXPECT_EQ(describe(back), describe(array));
      EXPECT_TRUE(same_bytes(back, array));
    }
  }
  EXPECT_THROW(write_arrays(folder / "y.png", {counting("", {2, 2}, DType::float32)}),
               ritz::Unsupported);
}

}  // namespace
