#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <numeric>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/rows/top_vector/detail/row_chunk.h"

namespace ritz::rows {
namespace {

using torch::kFloat32;
using torch::kFloat64;

Tensor normal(at::IntArrayRef shape, uint64_t index = 0) {
  return RandomStream(9, stream_id("tests/row-kernels", index)).normal(shape, kFloat64);
}

SparseRows compressed(const Tensor& dense) {
  std::vector<int64_t> pointers = {0}, columns;
  std::vector<double> values;
  for (int64_t i = 0; i < dense.size(0); ++i) {
    for (int64_t j = 0; j < dense.size(1); ++j) {
      const double value = dense[i][j].item<double>();
      if (value == 0) continue;
      columns.push_back(j);
      values.push_back(value);
    }
    pointers.push_back(static_cast<int64_t>(columns.size()));
  }
  return {torch::tensor(pointers, torch::kInt64), torch::tensor(columns, torch::kInt64),
          torch::tensor(values, kFloat64).to(dense.scalar_type()), dense.size(1)};
}

std::vector<int64_t> first(int64_t n) {
  std::vector<int64_t> all(n);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

struct Size {
  int64_t rows, d, k;
};
const Size kSizes[] = {{1, 1, 1},     {3, 7, 2},    {4, 8, 3},     {5, 9, 4},    {9, 64, 5},
                       {17, 1023, 4}, {6, 1024, 6}, {13, 1031, 8}, {11, 2500, 3}};

class RowKernels : public testing::TestWithParam<Size> {};

TEST_P(RowKernels, GramProductAgreesWithItsReference) {
  const auto [b, d, k] = GetParam();
  for (const auto dtype : {kFloat32, kFloat64}) {
    const Tensor wide = normal({b, d + 3}, 1).to(dtype), rows = wide.narrow(1, 2, d);
    const Tensor Z = normal({k, d}, 2), Y = normal({k, d}, 3), reference = Y.clone();
    std::vector<int64_t> which;
    std::vector<double> weights;
    for (int64_t i = 0; i < b; ++i)
      if (i % 3 != 1 || b < 3) {
        which.push_back(i);
        weights.push_back(1 + 0.5 * i);
      }
    for (const bool weighted : {false, true}) {
      const std::span<const double> w = weighted ? weights : std::span<const double>();
      detail::add_gram_product(rows, which, w, Z, Y);
      detail::add_gram_product_reference(rows, which, w, Z, reference);
      // Sums of d, then of b terms of float64 on both sides.
      const double scale =
          1e-15 * static_cast<double>(d + b) * reference.abs().max().item<double>();
      EXPECT_LE((Y - reference).abs().max().item<double>(), scale);
    }
  }
}

TEST_P(RowKernels, ProductsAndCombinationsAgreeWithTensorOnes) {
  const auto [b, d, k] = GetParam();
  for (const auto dtype : {kFloat32, kFloat64}) {
    const Tensor rows = normal({b, d}, 7).to(dtype), A = rows.to(kFloat64);
    const Tensor Z = normal({k, d}, 2), C = normal({b, k}, 3), Y = normal({k, d}, 4);
    const Tensor expected = Y + C.t().mm(A);
    detail::add_combinations(rows, C, Y);
    EXPECT_LE((Y - expected).abs().max().item<double>(), 1e-14 * static_cast<double>(b + 8));
    detail::row_products(rows, Z, C);
    EXPECT_LE((C - A.mm(Z.t())).abs().max().item<double>(), 1e-14 * static_cast<double>(d + 8));
  }
}

TEST_P(RowKernels, NormsAgreeAndBelongToTheRowAlone) {
  const auto [b, d, k] = GetParam();
  for (const auto dtype : {kFloat32, kFloat64}) {
    const Tensor rows = normal({b, d}, 4).to(dtype);
    std::vector<double> norms(b), one(1);
    detail::squared_norms(rows, norms);
    for (int64_t i = 0; i < b; ++i) {
      const double truth = rows[i].to(kFloat64).square().sum().item<double>();
      EXPECT_NEAR(norms[i], truth, 1e-15 * static_cast<double>(d) * truth);
      detail::squared_norms(rows.narrow(0, i, 1), one);
      EXPECT_EQ(one[0], norms[i]);
    }
  }
}

TEST_P(RowKernels, OjaRowsAreTheRuleRowByRow) {
  const auto [b, d, k] = GetParam();
  for (const auto dtype : {kFloat32, kFloat64}) {
    const Tensor rows = (normal({b, d}, 5) / std::sqrt(d)).to(dtype), v = normal({d}, 6);
    Tensor slow = v.clone();
    std::vector<double> norms(b), eta(b), y(b);
    detail::squared_norms(rows, norms);
    for (int64_t i = 0; i < b; ++i) eta[i] = 0.3 + 0.1 * i;
    const double grown = detail::oja_rows(rows, norms, eta, v, y);
    const double start = slow.norm().item<double>();
    for (int64_t i = 0; i < b; ++i) {
      const Tensor a = rows[i].to(kFloat64);
      const double found = a.dot(slow).item<double>();
      EXPECT_NEAR(y[i], found / slow.norm().item<double>(), 1e-12);
      slow = slow + eta[i] * found * a;
    }
    EXPECT_LE((v - slow).norm().item<double>(), 1e-12 * slow.norm().item<double>());
    EXPECT_NEAR(grown, std::log(slow.norm().item<double>() / start), 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(OddSizes, RowKernels, testing::ValuesIn(kSizes));

TEST(RowKernels, ThreadsChangeNoBit) {
  const Tensor rows = normal({256, 3000}), Z = normal({4, 3000}, 1);
  const auto which = first(256);
  const int threads = at::get_num_threads();
  Tensor once;
  for (const int n : {1, 2, 3}) {
    at::set_num_threads(n);
    Tensor Y = torch::zeros({4, 3000}, kFloat64);
    detail::add_gram_product(rows, which, {}, Z, Y);
    if (!once.defined()) once = Y;
    EXPECT_TRUE(torch::equal(once, Y)) << n;
  }
  at::set_num_threads(threads);
}

TEST(RowKernels, CompressedRowsAgreeWithDenseOnes) {
  const Tensor dense = normal({20, 33}) * normal({20, 33}, 1).gt(0.5);
  for (const auto dtype : {kFloat32, kFloat64}) {
    const Tensor rows = dense.to(dtype);
    const SparseRows sparse = compressed(rows);
    check_sparse_rows(sparse);
    EXPECT_TRUE(torch::equal(sparse.dense(), rows));
    EXPECT_TRUE(torch::equal(sparse.slice(3, 5).dense(), rows.narrow(0, 3, 5)));
    const Tensor some = torch::tensor({7, 2, 19}, torch::kInt64);
    EXPECT_TRUE(torch::equal(sparse.select(some).dense(), rows.index_select(0, some)));
    std::vector<double> a(20), b(20), eta(20, 0.1), y(20), z(20);
    detail::squared_norms(sparse, a);
    detail::squared_norms(rows, b);
    for (int i = 0; i < 20; ++i) EXPECT_NEAR(a[i], b[i], 1e-13);
    const Tensor Z = normal({3, 33}, 2), Y = torch::zeros({3, 33}, kFloat64), W = Y.clone();
    const std::vector<int64_t> which = {0, 3, 4, 11, 19};
    const std::vector<double> weights = {1, 2, 3, 4, 5};
    detail::add_gram_product(sparse.slice(0, 20), which, weights, Z, Y);
    detail::add_gram_product(rows, which, weights, Z, W);
    EXPECT_LE((Y - W).abs().max().item<double>(), 1e-12);
    const Tensor v = normal({33}, 3), w = v.clone();
    const double grown = detail::oja_rows(sparse, a, eta, v, y);
    EXPECT_NEAR(grown, detail::oja_rows(rows, b, eta, w, z), 1e-12);
    EXPECT_LE((v - w).norm().item<double>(), 1e-12);
  }
}

TEST(RowKernels, OjaDoesNotOverflowWhereTheVectorGrowsByAThousandOrders) {
  const Tensor rows = normal({400, 10}) * 100, v = normal({10}, 1);
  const SparseRows sparse = compressed(rows);
  const Tensor w = v.clone();
  std::vector<double> norms(400), eta(400, 10), y(400);
  detail::squared_norms(rows, norms);
  const double grown = detail::oja_rows(rows, norms, eta, v, y);
  EXPECT_GT(grown, 1000 * std::log(10.0));
  EXPECT_TRUE(at::isfinite(v).all().item<bool>());
  EXPECT_NEAR(detail::oja_rows(sparse, norms, eta, w, y), grown, 1e-9 * grown);
  EXPECT_NEAR(std::abs((v / v.norm()).dot(w / w.norm()).item<double>()), 1, 1e-12);
}

TEST(SparseRows, RepeatedAndUnorderedColumnsArePutInOrder) {
  const SparseRows rows{torch::tensor({0, 3, 3, 5}, torch::kInt64),
                        torch::tensor({4, 1, 4, 0, 2}, torch::kInt64),
                        torch::tensor({1., 2., 3., 4., 5.}, kFloat64), 6};
  EXPECT_THROW(check_sparse_rows(rows), InvalidArgument);
  const SparseRows sorted = in_order(rows);
  check_sparse_rows(sorted);
  EXPECT_TRUE(torch::equal(sorted.columns, torch::tensor({1, 4, 0, 2}, torch::kInt64)));
  EXPECT_TRUE(torch::equal(sorted.dense(), rows.dense()));
}

TEST(SparseRows, EveryIndexIsChecked) {
  const auto index = [](std::vector<int64_t> v) { return torch::tensor(v, torch::kInt64); };
  const Tensor two = torch::ones({2}, kFloat64);
  EXPECT_NO_THROW(check_sparse_rows({index({0, 1, 2}), index({0, 2}), two, 3}));
  EXPECT_THROW(check_sparse_rows({index({0, 1, 3}), index({0, 2}), two, 3}), InvalidArgument);
  EXPECT_THROW(check_sparse_rows({index({0, 2, 1}), index({0, 2}), two, 3}), InvalidArgument);
  EXPECT_THROW(check_sparse_rows({index({-1, 1, 2}), index({0, 2}), two, 3}), InvalidArgument);
  EXPECT_THROW(check_sparse_rows({index({0, 1, 2}), index({0, 3}), two, 3}), InvalidArgument);
  EXPECT_THROW(check_sparse_rows({index({0, 1, 2}), index({-1, 2}), two, 3}), InvalidArgument);
  EXPECT_THROW(check_sparse_rows({index({0, 1, 2}), index({0}), two, 3}), InvalidArgument);
  EXPECT_THROW(check_sparse_rows({index({0, 1, 2}).to(torch::kInt32), index({0, 2}), two, 3}),
               InvalidArgument);
}

}  // namespace
}  // namespace ritz::rows
