#include "ritz/io/tensor.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <limits>

#include "ritz/base/error.h"
#include "ritz/io/array_file.h"
#include "tests/io/temporary_folder.h"

namespace {

using namespace ritz::io;
using namespace ritz::test;
using ritz::Tensor;

struct Pair {
  DType file;
  at::ScalarType memory;
};

constexpr Pair kSame[] = {{DType::boolean, at::kBool},
                          {DType::int8, at::kChar},
                          {DType::int16, at::kShort},
                          {DType::int32, at::kInt},
                          {DType::int64, at::kLong},
                          {DType::uint8, at::kByte},
                          {DType::float16, at::kHalf},
                          {DType::bfloat16, at::kBFloat16},
                          {DType::float32, at::kFloat},
                          {DType::float64, at::kDouble},
                          {DType::complex64, at::kComplexFloat},
                          {DType::complex128, at::kComplexDouble}};

TEST(ArrayTensor, EveryDtypeAndShapeGoesThereAndBackWithoutACopy) {
  for (const auto& [file, memory] : kSame) {
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{}, {0}, {7}, {3, 0, 2}, {3, 5}, {2, 3, 4}}) {
      const Array array = counting("x", shape, file);
      SCOPED_TRACE(describe(array));
      const Tensor tensor = to_tensor(array);
      EXPECT_EQ(tensor.scalar_type(), memory);
      EXPECT_EQ(tensor.sizes().vec(), shape);
      if (array.count() > 0) {
        EXPECT_EQ(tensor.const_data_ptr(), array.data);
      }
      const Array back = to_array("y", tensor);
      EXPECT_EQ(back.name, "y");
      EXPECT_EQ(back.dtype, file);
      EXPECT_EQ(back.shape, shape);
      EXPECT_TRUE(same_bytes(back, array));
      if (array.count() > 0) {
        EXPECT_EQ(back.data, array.data);
      }
    }
  }
}

TEST(ArrayTensor, ElementsAreTheNumbersOfTheFile) {
  const Tensor x = to_tensor(of_doubles("", {2, 3}, {0, 1, 2, 3, 4, 5}));
  EXPECT_TRUE(x.equal(at::arange(6, at::kDouble).view({2, 3})));
  const Array half = to_array("", at::tensor({1.0, -2.0}).to(at::kHalf));
  EXPECT_EQ(std::to_integer<int>(half.data[1]), 0x3c);  // 1 is 0x3c00, little-endian
  EXPECT_EQ(std::to_integer<int>(half.data[3]), 0xc0);
}

template <class T>
Array largest(DType dtype, T top) {
  Array array = make_array("top", {2}, dtype);
  const T values[] = {3, top};
  std::memcpy(mutable_data(array), values, sizeof values);
  return array;
}

TEST(ArrayTensor, WideUnsignedIntegersBecomeInt64) {
  constexpr int64_t kTop = std::numeric_limits<int64_t>::max();
  const auto expect = [](const Array& array, int64_t top) {
    const Tensor x = to_tensor(array);
    EXPECT_EQ(x.scalar_type(), at::kLong);
    EXPECT_TRUE(x.equal(at::tensor({int64_t{3}, top}, at::kLong))) << describe(array);
  };
  expect(largest<uint16_t>(DType::uint16, 0xffff), 0xffff);
  expect(largest<uint32_t>(DType::uint32, 0xffffffff), 0xffffffff);
  expect(largest<uint64_t>(DType::uint64, kTop), kTop);
  EXPECT_TRUE(to_tensor(counting("", {0, 2}, DType::uint64)).sizes() == at::IntArrayRef({0, 2}));
}

TEST(ArrayTensor, AnUnsignedNumberBeyondInt64IsADataErrorThatNamesIt) {
  for (const uint64_t top : {uint64_t{1} << 63, ~uint64_t{0}}) {
    try {
      (void)to_tensor(largest<uint64_t>(DType::uint64, top));
      FAIL() << top;
    } catch (const ritz::DataError& error) {
      EXPECT_NE(std::string(error.what()).find("top"), std::string::npos);
      EXPECT_NE(std::string(error.what()).find(std::to_string(top)), std::string::npos);
    }
  }
}

TEST(ArrayTensor, UnsignedTensorsAreWrittenAsTheyAre) {
  for (const auto& [file, memory] :
       {Pair{DType::uint16, at::kUInt16}, Pair{DType::uint32, at::kUInt32},
        Pair{DType::uint64, at::kUInt64}}) {
    const Array array = to_array("", at::arange(5, at::kLong).to(memory));
    EXPECT_EQ(array.dtype, file);
    EXPECT_TRUE(to_tensor(array).equal(at::arange(5, at::kLong)));
  }
}

TEST(ArrayTensor, WhatIsNotContiguousIsCopiedInTheOrderOfItsIndices) {
  const Tensor x = at::arange(24, at::kFloat).view({2, 3, 4});
  for (const Tensor& view : {x.permute({2, 0, 1}), x.slice(2, 1, 4, 2), x.select(1, 2),
                             x.new_ones({1}).expand({3, 4}), at::flip(x, {0})}) {
    const Array array = to_array("", view);
    EXPECT_EQ(array.shape, view.sizes().vec());
    EXPECT_TRUE(to_tensor(array).equal(view));
    EXPECT_EQ(array.bytes(), static_cast<size_t>(view.numel()) * 4);
  }
}

TEST(ArrayTensor, LazyConjugatesAndNegativesAreResolved) {
  const Tensor z = at::complex(at::arange(3, at::kDouble), at::ones({3}, at::kDouble));
  EXPECT_EQ(doubles(to_array("", z.conj()))[1], -1);
  EXPECT_EQ(doubles(to_array("", at::_neg_view(at::ones({1}, at::kDouble))))[0], -1);
}

TEST(ArrayTensor, EachSideKeepsTheBytesAlive) {
  Array array = counting("", {1000}, DType::float64);
  const Array copy = counting("", {1000}, DType::float64);
  Tensor tensor = to_tensor(array);
  array = {};
  const Array back = to_array("", tensor);
  tensor.reset();
  EXPECT_TRUE(same_bytes(back, copy));
}

TEST(ArrayTensor, AMappedFileIsSeenWithoutACopyAndOutlivesItsName) {
  const TemporaryFolder folder;
  // Beyond 1 MiB files are mapped.
  const Array array = counting("", {1 << 18}, DType::float64);
  write_arrays(folder / "x.npy", {array});
  Array read = read_array(folder / "x.npy");
  const Tensor tensor = to_tensor(read);
  EXPECT_EQ(tensor.const_data_ptr(), read.data);
  read = {};
  std::filesystem::remove(folder / "x.npy");
  EXPECT_TRUE(same_bytes(to_array("", tensor), array));
}

TEST(ArrayTensor, ParametersAreWrittenWithoutTheirGraph) {
  const Tensor weight = at::ones({2}, at::kFloat).requires_grad_();
  EXPECT_EQ(to_array("", weight * 2).bytes(), 8u);
  EXPECT_FALSE(to_tensor(to_array("", weight)).requires_grad());
}

TEST(ArrayTensor, WhatFilesCannotHoldIsNamed) {
  EXPECT_THROW(to_array("w", Tensor()), ritz::InvalidArgument);
  try {
    (void)to_array("w", at::zeros({2}, at::kFloat8_e4m3fn));
    FAIL();
  } catch (const ritz::Unsupported& error) {
    EXPECT_NE(std::string(error.what()).find('w'), std::string::npos);
  }
}

}  // namespace
