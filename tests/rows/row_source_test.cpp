#include "ritz/rows/row_source.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <fstream>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "tests/io/temporary_folder.h"

namespace ritz::rows {
namespace {

Tensor all_of(RowSource& source) {
  std::vector<Tensor> parts;
  RowBatch batch;
  while (source.next(batch))
    parts.push_back(batch.dense.defined() ? batch.dense.clone() : batch.sparse.dense());
  return torch::cat(parts);
}

class RowSources : public testing::Test {
 protected:
  Tensor A = RandomStream(1).normal({1001, 7}, torch::kFloat64);
  test::TemporaryFolder folder;
  std::string save(const std::string& name, const Tensor& values) const {
    io::write_arrays(folder / name, {io::to_array("A", values)}, {.force = true});
    return folder / name;
  }
};

TEST_F(RowSources, GiveEveryRowOnceInOrder) {
  const Tensor single = A.to(torch::kFloat32);
  for (const auto& [name, values] :
       {std::pair("A.npy", A), {"B.npy", single}, {"A.csv", A}, {"A.npz", A}, {"A.h5", A}}) {
    const auto source = open_rows(save(name, values), {.batch_bytes = 1000});
    EXPECT_EQ(source->cols(), 7);
    EXPECT_TRUE(torch::equal(all_of(*source), values)) << name;
  }
  const Tensor raw = single.contiguous();
  std::ofstream(folder / "A.bin", std::ios::binary)
      .write(static_cast<const char*>(raw.const_data_ptr()), raw.numel() * 4);
  const auto source = open_rows(folder / "A.bin", {.raw = "float32", .columns = 7});
  EXPECT_EQ(source->rows(), 1001);
  EXPECT_TRUE(torch::equal(all_of(*source), single));
}

TEST_F(RowSources, LargeMappedFilesLeaveNoPagesBehind) {
  const Tensor large = RandomStream(2).normal({4000, 2000}, torch::kFloat32);  // 32 MB
  const auto path = save("large.npy", large);
  const auto resident = [] {
    std::ifstream statm("/proc/self/statm");
    int64_t size = 0, pages = 0;
    statm >> size >> pages;
    return pages * 4096;
  };
  const auto source = open_rows(path, {.batch_bytes = 1 << 20});
  const int64_t before = resident();
  RowBatch batch;
  double sum = 0;
  int64_t most = 0;
  while (source->next(batch)) {
    sum += batch.dense.sum().item<double>();
    most = std::max(most, resident() - before);
  }
  EXPECT_NEAR(sum, large.sum(torch::kFloat64).item<double>(), 1);
  EXPECT_LT(most, 16 << 20);  // of 32: a batch, and what the system maps ahead
}

TEST_F(RowSources, IntegersAndImagesBecomeRows) {
  const Tensor images = torch::arange(2 * 3 * 4).to(torch::kUInt8).reshape({2, 3, 4});
  const auto source = open_rows(save("X.npy", images));
  EXPECT_EQ(source->cols(), 12);
  EXPECT_TRUE(torch::equal(all_of(*source), images.flatten(1).to(torch::kFloat32)));
  const Tensor wide = torch::tensor({{int64_t{1} << 40, int64_t{3}}});
  EXPECT_TRUE(torch::equal(all_of(*open_rows(save("Y.npy", wide))), wide.to(torch::kFloat64)));
}

TEST_F(RowSources, SharesCoverAllRows) {
  const auto path = save("A.npy", A);
  std::vector<Tensor> parts;
  for (int rank = 0; rank < 3; ++rank) {
    const auto source = open_rows(path, {.rank = rank, .world_size = 3});
    EXPECT_EQ(source->end() - source->begin(), rank < 2 ? 334 : 333);
    parts.push_back(all_of(*source));
  }
  EXPECT_TRUE(torch::equal(torch::cat(parts), A));
  EXPECT_THROW(open_rows(save("A.csv", A), {.world_size = 2}), Unsupported);
}

TEST_F(RowSources, CsvIsReadBitByBitWhateverItsLines) {
  std::string text =
      "\xef\xbb\xbf"
      "a,b\r\n";
  for (int i = 0; i < 300000; ++i)
    text += std::to_string(i) + "," + std::to_string(i % 7) + "\r\n\n";
  test::write_text(folder / "long.csv", text);  // several reads of a megabyte
  const auto source = open_rows(folder / "long.csv");
  const Tensor rows = all_of(*source);
  ASSERT_EQ(rows.size(0), 300000);
  EXPECT_TRUE(torch::equal(rows.select(1, 0), torch::arange(300000.).to(torch::kFloat64)));
  test::write_text(folder / "bad.csv", "1,2\n3,4\n5\n");
  EXPECT_THROW(all_of(*open_rows(folder / "bad.csv")), DataError);
  test::write_text(folder / "word.csv", "1,2\n3,x\n");
  EXPECT_THROW(all_of(*open_rows(folder / "word.csv")), DataError);
  test::write_text(folder / "empty.csv", "");
  EXPECT_THROW(open_rows(folder / "empty.csv"), DataError);
}

TEST_F(RowSources, WhatIsNoMatrixIsRefused) {
  EXPECT_THROW(open_rows(save("v.npy", A.select(1, 0))), DataError);
  EXPECT_THROW(open_rows(save("e.npy", A.slice(0, 0, 0))), DataError);
  EXPECT_THROW(open_rows(save("c.npy", torch::complex(A, A))), DataError);
  EXPECT_THROW(open_rows(folder / "missing.npy"), DataError);
  EXPECT_THROW(open_rows(folder / "missing.csv"), DataError);
  test::write_text(folder / "x.bin", "12345");
  EXPECT_THROW(open_rows(folder / "x.bin", {.raw = "float32", .columns = 1}), DataError);
  EXPECT_THROW(open_rows(folder / "x.bin", {.raw = "int8", .columns = 1}), InvalidArgument);
  EXPECT_THROW(open_rows(folder / "x.bin", {.raw = "float32"}), InvalidArgument);
}

}  // namespace
}  // namespace ritz::rows
