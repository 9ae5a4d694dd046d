#include "ritz/krylov/tridiagonal_values.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "ritz/base/error.h"
#include "ritz/base/random.h"
#include "ritz/krylov/tridiagonal.h"

namespace ritz {
namespace {

TEST(TridiagonalValues, AgreeWithImplicitQl) {
  for (const int64_t m : {1, 2, 3, 17, 200}) {
    RandomStream random(3, stream_id("test/tridiagonal", m));
    Tridiagonal T;
    std::vector<double> squares;
    for (int64_t i = 0; i < m; ++i)
      T.alpha.push_back(random.normal({1}, torch::kFloat64).item<double>());
    for (int64_t i = 0; i + 1 < m; ++i) {
      // Graded, and one exact split.
      T.beta.push_back(i == m / 2 ? 0 : std::exp(-0.05 * static_cast<double>(i)));
      squares.push_back(T.beta.back() * T.beta.back());
    }
    const auto expected = eigh_tridiagonal(T).values;
    const auto values = tridiagonal_eigenvalues(T.alpha, squares);
    ASSERT_EQ(values.size(), expected.size());
    // Both err by a few eps ||T||, ||T|| < 6.
    for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], 1e-13) << m;
  }
}

TEST(TridiagonalValues, SecondDifferenceHasItsCosines) {
  const int64_t m = 101;
  const auto values =
      tridiagonal_eigenvalues(std::vector<double>(101, 2.0), std::vector<double>(100, 1.0));
  for (int64_t k = 0; k < m; ++k) {
    const double exact = 2 - 2 * std::cos(static_cast<double>(k + 1) * M_PI / (m + 1));
    EXPECT_NEAR(values[static_cast<size_t>(k)], exact, 4e-15 * m);
  }
}

TEST(TridiagonalValues, ZeroDiagonalIsSymmetricAboutZero) {
  const auto values = tridiagonal_eigenvalues(std::vector<double>(5, 0.0), {1, 2, 3, 4});
  for (size_t i = 0; i < 5; ++i) EXPECT_NEAR(values[i], -values[4 - i], 1e-14);
}

TEST(TridiagonalValues, RefuseWhatIsNoMatrix) {
  EXPECT_THROW(tridiagonal_eigenvalues({}, {}), InvalidArgument);
  EXPECT_THROW(tridiagonal_eigenvalues({1, 2}, {}), InvalidArgument);
  EXPECT_THROW(tridiagonal_eigenvalues({1, 2}, {-1}), InvalidArgument);
  EXPECT_THROW(tridiagonal_eigenvalues({1, NAN}, {1}), InvalidArgument);
}

}  // namespace
}  // namespace ritz
