// Every kind of operator against the matrix it stands for.
#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/linop/algebra.h"
#include "ritz/linop/csr.h"
#include "ritz/linop/dense.h"
#include "ritz/linop/diagonal.h"
#include "ritz/linop/function_operator.h"
#include "ritz/linop/kronecker.h"

namespace {

using ritz::LinearOperator;
using ritz::LinearOperatorPtr;
using ritz::Tensor;

Tensor random_tensor(at::IntArrayRef shape, c10::ScalarType dtype, uint64_t index) {
  ritz::RandomStream random(11, ritz::stream_id("tests/linop", index));
  const auto real = random.normal(shape, torch::kFloat64);
  if (!c10::isComplexType(dtype)) return real.to(dtype);
  return torch::complex(real, random.normal(shape, torch::kFloat64)).to(dtype);
}

LinearOperatorPtr dense(const Tensor& A) {
  return std::make_shared<ritz::DenseOperator>(A);
}

std::shared_ptr<ritz::CsrOperator> csr(const Tensor& A, bool symmetric = false) {
  const auto at = (A != 0).nonzero();  // row by row
  const auto counts = (A != 0).sum(1);
  const auto pointers = torch::cat({torch::zeros({1}, counts.options()), counts.cumsum(0)});
  return std::make_shared<ritz::CsrOperator>(pointers, at.select(1, 1).to(torch::kInt),
                                             A.masked_select(A != 0), A.size(1), symmetric);
}

Tensor sparse_matrix(int64_t rows, int64_t cols, c10::ScalarType dtype, uint64_t index) {
  const auto A = random_tensor({rows, cols}, dtype, index);
  return torch::where(A.abs() > 0.9, A, torch::zeros_like(A));  // with empty rows and columns
}

struct Case {
  LinearOperatorPtr op;
  Tensor matrix;
};

struct Kind {
  const char* name;
  std::function<Case(c10::ScalarType)> make;
};

const Kind kKinds[] = {
    {"Dense",
     [](auto t) {
       const auto A = random_tensor({7, 5}, t, 0);
       return Case{dense(A), A};
     }},
    {"DenseStrided",
     [](auto t) {
       const auto A = random_tensor({9, 14}, t, 1).t().slice(0, 1, 14, 2);
       return Case{dense(A), A};
     }},
    {"SymmetricDense",
     [](auto t) {
       const auto A = random_tensor({7, 7}, t, 2);
       const auto S = A + A.mH();
       return Case{std::make_shared<ritz::SymmetricDenseOperator>(S), S};
     }},
    {"Csr",
     [](auto t) {
       const auto A = sparse_matrix(13, 9, t, 3);
       return Case{csr(A), A};
     }},
    {"CsrSymmetric",
     [](auto t) {
       const auto A = sparse_matrix(11, 11, t, 4);
       const auto S = A + A.mH();
       return Case{csr(S, true), S};
     }},
    {"CsrEmpty",
     [](auto t) {
       const auto A = torch::zeros({3, 5}, t);
       return Case{csr(A), A};
     }},
    {"Diagonal",
     [](auto t) {
       const auto d = random_tensor({7}, t, 5);
       return Case{std::make_shared<ritz::DiagonalOperator>(d), torch::diag(d)};
     }},
    {"LowRankDiagonal",
     [](auto t) {
       const auto d = random_tensor({9}, t, 6), U = random_tensor({9, 2}, t, 7);
       const auto V = random_tensor({9, 2}, t, 8);
       return Case{std::make_shared<ritz::LowRankDiagonalOperator>(d, U, V),
                   torch::diag(d) + U.mm(V.mH())};
     }},
    {"LowRankDiagonalInverse",
     [](auto t) {
       const auto d = random_tensor({9}, t, 6) + 4, U = random_tensor({9, 2}, t, 7);
       const ritz::LowRankDiagonalOperator A(d, U);
       return Case{std::make_shared<ritz::LowRankDiagonalOperator>(A.inverse()),
                   at::linalg_inv(torch::diag(d) + U.mm(U.mH()))};
     }},
    {"KroneckerWide",
     [](auto t) {
       const auto A = random_tensor({3, 5}, t, 9), B = random_tensor({2, 7}, t, 10);
       return Case{std::make_shared<ritz::KroneckerOperator>(dense(A), dense(B)), at::kron(A, B)};
     }},
    {"KroneckerTall",
     [](auto t) {
       const auto A = random_tensor({5, 3}, t, 11), B = random_tensor({2, 3}, t, 12);
       return Case{std::make_shared<ritz::KroneckerOperator>(dense(A), dense(B)), at::kron(A, B)};
     }},
    {"Identity",
     [](auto t) {
       return Case{ritz::identity(5, at::dtype(t)), torch::eye(5, t)};
     }},
    {"Scaled",
     [](auto t) {
       const auto A = random_tensor({7, 5}, t, 13);
       const std::complex<double> c(-1.5, c10::isComplexType(t) ? 0.5 : 0);
       return Case{ritz::scaled(c, dense(A)),
                   c10::isComplexType(t) ? A * c10::complex<double>(-1.5, 0.5) : A * -1.5};
     }},
    {"Sum",
     [](auto t) {
       const auto A = random_tensor({7, 5}, t, 14), B = random_tensor({7, 5}, t, 15);
       return Case{ritz::sum({dense(A), dense(B), dense(A)}), 2 * A + B};
     }},
    {"Product",
     [](auto t) {
       const auto A = random_tensor({3, 5}, t, 16), B = random_tensor({5, 9}, t, 17);
       const auto C = random_tensor({9, 7}, t, 18);
       return Case{ritz::product({dense(A), dense(B), dense(C)}), A.mm(B).mm(C)};
     }},
    {"Shifted",
     [](auto t) {
       const auto A = random_tensor({7, 7}, t, 19);
       const bool complex = c10::isComplexType(t);
       const auto I = torch::eye(7, t);
       return Case{ritz::shifted(dense(A), {2, complex ? 0.5 : 0}),
                   A + (complex ? I * c10::complex<double>(2, 0.5) : I * 2)};
     }},
    {"Adjoint",
     [](auto t) {
       const auto A = random_tensor({7, 5}, t, 20);
       return Case{ritz::adjoint(dense(A)), A.mH()};
     }},
    {"Vertical",
     [](auto t) {
       const auto A = random_tensor({3, 5}, t, 21), B = random_tensor({1, 5}, t, 22);
       return Case{ritz::stack_vertically({dense(A), dense(B)}), torch::cat({A, B})};
     }},
    {"Horizontal",
     [](auto t) {
       const auto A = random_tensor({3, 5}, t, 23), B = random_tensor({3, 2}, t, 24);
       return Case{ritz::stack_horizontally({dense(A), dense(B)}), torch::cat({A, B}, 1)};
     }},
    {"BlockDiagonal",
     [](auto t) {
       const auto A = random_tensor({3, 5}, t, 25), B = random_tensor({4, 2}, t, 26);
       return Case{ritz::stack_diagonally({dense(A), dense(B)}), at::block_diag({A, B})};
     }},
    {"Function",
     [](auto t) {
       const auto A = random_tensor({7, 5}, t, 27);
       return Case{std::make_shared<ritz::FunctionOperator>(
                       7, 5, at::dtype(t), [A](const Tensor& x) { return A.matmul(x); },
                       [A](const Tensor& x) { return A.mH().matmul(x); }),
                   A};
     }},
    {"SymmetricFunction",
     [](auto t) {
       return Case{std::make_shared<ritz::SymmetricFunctionOperator>(
                       5, at::dtype(t), [](const Tensor& x) { return 3 * x; }),
                   3 * torch::eye(5, t)};
     }},
};

class Kinds : public testing::TestWithParam<std::tuple<Kind, c10::ScalarType>> {
 protected:
  Kinds() {
    dtype = std::get<1>(GetParam());
    const auto made = std::get<0>(GetParam()).make(dtype);
    op = made.op;
    matrix = made.matrix;
    const bool single = dtype == torch::kFloat || dtype == torch::kComplexFloat;
    tolerance = (single ? 1.2e-7 : 2.3e-16) * 100;  // sums of at most 100 terms
  }

  void expect_close(const Tensor& a, const Tensor& b) const {
    ASSERT_EQ(a.sizes(), b.sizes());
    ASSERT_EQ(a.scalar_type(), dtype);
    EXPECT_LE((a - b).abs().max().item<double>(), tolerance * (1 + b.abs().max().item<double>()));
  }

  c10::ScalarType dtype;
  LinearOperatorPtr op;
  Tensor matrix;
  double tolerance;
};

TEST_P(Kinds, ActsLikeItsMatrix) {
  ASSERT_EQ(op->rows(), matrix.size(0));
  ASSERT_EQ(op->cols(), matrix.size(1));
  const auto x = random_tensor({op->cols()}, dtype, 100);
  expect_close(op->apply(x), matrix.mv(x));
  expect_close(ritz::to_dense(*op, 3), matrix);
}

TEST_P(Kinds, AdjointSatisfiesInnerProducts) {
  const auto x = random_tensor({op->cols()}, dtype, 101),
             y = random_tensor({op->rows()}, dtype, 102);
  const auto left = at::vdot(y, op->apply(x)), right = at::vdot(op->apply_adjoint(y), x);
  EXPECT_LE((left - right).abs().item<double>(),
            tolerance * (1 + y.norm() * op->apply(x).norm()).abs().item<double>());
  expect_close(op->apply_adjoint(y), matrix.mH().mv(y));
}

TEST_P(Kinds, BlocksAreColumnsAndMapsAreLinear) {
  for (const int64_t k : {1, 3}) {
    const auto X = random_tensor({k, op->cols()}, dtype, 103).t();  // strided, as a basis' rows are
    const auto Y = op->apply(X);
    const auto Z = op->apply_adjoint(matrix.mm(X));
    for (int64_t j = 0; j < k; ++j) {
      expect_close(Y.select(1, j), op->apply(X.select(1, j)));
      expect_close(Z.select(1, j), op->apply_adjoint(matrix.mv(X.select(1, j))));
    }
  }
  const auto x = random_tensor({op->cols()}, dtype, 104),
             y = random_tensor({op->cols()}, dtype, 105);
  expect_close(op->apply(2 * x - y), 2 * op->apply(x) - op->apply(y));
}

TEST_P(Kinds, RejectWhatDoesNotFit) {
  EXPECT_THROW(op->apply(torch::zeros({op->cols() + 1}, dtype)), ritz::InvalidArgument);
  EXPECT_THROW(op->apply(torch::zeros({op->cols(), 1, 1}, dtype)), ritz::InvalidArgument);
  EXPECT_THROW(op->apply(torch::zeros({op->cols()}, torch::kHalf)), ritz::InvalidArgument);
  EXPECT_THROW(op->apply_adjoint(torch::zeros({op->rows() + 1}, dtype)), ritz::InvalidArgument);
  EXPECT_THROW(op->apply(Tensor()), ritz::InvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(All, Kinds,
                         testing::Combine(testing::ValuesIn(kKinds),
                                          testing::Values(torch::kFloat, torch::kDouble,
                                                          torch::kComplexDouble)),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param).name) + "_" +
                                  c10::toString(std::get<1>(info.param));
                         });

TEST(Operators, SayWhyTheyCannotBeComposed) {
  const auto A = dense(torch::ones({3, 5}, torch::kFloat64)), f = dense(torch::ones({3, 5}));
  EXPECT_THROW(ritz::sum({A, f}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::sum({}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::product({A, A}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::shifted(A, 1), ritz::InvalidArgument);
  EXPECT_THROW(ritz::scaled({0, 1}, A), ritz::InvalidArgument);
  EXPECT_THROW(ritz::adjoint(nullptr), ritz::InvalidArgument);
  EXPECT_THROW(ritz::KroneckerOperator(A, f), ritz::InvalidArgument);
  EXPECT_THROW(ritz::stack_vertically({A, ritz::adjoint(A)}), ritz::InvalidArgument);
  EXPECT_THROW(ritz::stack_horizontally({A, ritz::adjoint(A)}), ritz::InvalidArgument);
}

TEST(SymmetricDense, NamesTheElementThatIsNot) {
  auto A = torch::eye(5, torch::kFloat64);
  A[1][3] = 0.5;
  try {
    const ritz::SymmetricDenseOperator op(A);
    FAIL();
  } catch (const ritz::InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("i = 1, j = 3"), std::string::npos) << error.what();
  }
  A[1][3] = std::nan("");
  EXPECT_THROW(ritz::SymmetricDenseOperator{A}, ritz::InvalidArgument);
  EXPECT_THROW(ritz::SymmetricDenseOperator(torch::ones({3, 4})), ritz::InvalidArgument);
  EXPECT_THROW(ritz::SymmetricDenseOperator(torch::ones({3, 3}, torch::kInt)),
               ritz::InvalidArgument);
}

TEST(Csr, ChecksEveryIndex) {
  const auto long_of = [](std::vector<int64_t> v) { return torch::tensor(v, torch::kLong); };
  const auto v = torch::ones({2}, torch::kFloat64);
  EXPECT_NO_THROW(ritz::CsrOperator(long_of({0, 1, 2}), long_of({0, 2}), v, 3));
  EXPECT_THROW(ritz::CsrOperator(long_of({0, 1, 2}), long_of({0, 3}), v, 3), ritz::InvalidArgument);
  EXPECT_THROW(ritz::CsrOperator(long_of({0, 1, 2}), long_of({-1, 2}), v, 3),
               ritz::InvalidArgument);
  EXPECT_THROW(ritz::CsrOperator(long_of({0, 2, 1}), long_of({0, 2}), v, 3), ritz::InvalidArgument);
  EXPECT_THROW(ritz::CsrOperator(long_of({1, 1, 2}), long_of({0, 2}), v, 3), ritz::InvalidArgument);
  EXPECT_THROW(ritz::CsrOperator(long_of({0, 1, 3}), long_of({0, 2}), v, 3), ritz::InvalidArgument);
  EXPECT_THROW(ritz::CsrOperator(v, long_of({0, 2}), v, 3), ritz::InvalidArgument);
  EXPECT_THROW(ritz::CsrOperator(long_of({0, 1, 2}), long_of({1, 1}), v, 2, true),
               ritz::InvalidArgument);  // not symmetric
}

TEST(Csr, AddsEntriesGivenTwice) {
  const ritz::CsrOperator A(torch::tensor({0, 2}), torch::tensor({1, 1}),
                            torch::tensor({2., 3.}, torch::kFloat64), 2);
  EXPECT_EQ(A.apply(torch::ones({2}, torch::kFloat64)).item<double>(), 5);
  EXPECT_EQ(A.apply_adjoint(torch::ones({1}, torch::kFloat64))[1].item<double>(), 5);
}

TEST(Inverses, RefuseSingularOperators) {
  EXPECT_THROW(ritz::DiagonalOperator(torch::tensor({1., 0.})).inverse(), ritz::InvalidArgument);
  const auto d = torch::ones({3}, torch::kFloat64);
  const auto u = torch::tensor({{1.}, {0.}, {0.}}, torch::kFloat64);
  EXPECT_THROW(ritz::LowRankDiagonalOperator(d, -u, u).inverse(), ritz::InvalidArgument);
  const auto inverse = ritz::DiagonalOperator(torch::tensor({2., 4.})).inverse();
  EXPECT_EQ(inverse.apply(torch::ones({2}))[1].item<float>(), 0.25);
}

TEST(Function, WithoutAdjointSaysSoAndResultsAreChecked) {
  const ritz::FunctionOperator op(2, 3, torch::kFloat64, [](const Tensor& x) { return x; });
  EXPECT_THROW(op.apply_adjoint(torch::ones({2}, torch::kFloat64)), ritz::Unsupported);
  EXPECT_THROW(op.apply(torch::ones({3}, torch::kFloat64)), ritz::InvalidArgument);
}

}  // namespace
