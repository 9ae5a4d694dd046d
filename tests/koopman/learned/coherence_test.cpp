// Mutual information of neighbouring latents: the closed form against the joint covariance, the
// contrasts against plain loops.
#include "ritz/koopman/learned/coherence.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "ritz/base/error.h"
#include "ritz/base/random.h"

namespace {

using namespace ritz::koopman::learned;
using at::Tensor;

Tensor normal(at::IntArrayRef shape, uint64_t seed) {
  return ritz::RandomStream(seed).normal(shape, at::kDouble);
}
Tensor spd(int64_t d, uint64_t seed) {
  const Tensor a = normal({d, d}, seed);
  return a.mm(a.t()) / static_cast<double>(d) + 0.1 * at::eye(d, at::kDouble);
}
double value(const Tensor& t) {
  return t.item<double>();
}
double log_det(const Tensor& m) {
  return value(std::get<1>(at::linalg_slogdet(m)));
}

/// I(x; y) = (log det C_x + log det C_y - log det C_xy) / 2 of the joint Gaussian of z and K^n z +
/// e.
double information_of_joint(const Tensor& K, const Tensor& noise, const Tensor& C, int64_t n) {
  Tensor P = at::eye(K.size(0), K.options()), M = at::zeros_like(K);
  for (int64_t i = 0; i < n; ++i) {
    M = M + P.mm(noise).mm(P.t());
    P = P.mm(K);
  }
  const Tensor cross = C.mm(P.t()), later = P.mm(C).mm(P.t()) + M;
  const Tensor joint = at::cat({at::cat({C, cross}, 1), at::cat({cross.t(), later}, 1)});
  return 0.5 * (log_det(C) + log_det(later) - log_det(joint));
}

TEST(GaussianInformation, IsThatOfTheJointCovariance) {
  const Tensor K = 0.5 * normal({5, 5}, 1), noise = spd(5, 2), C = spd(5, 3);
  for (const int64_t n : {1, 2, 3, 6, 7, 8}) {
    EXPECT_NEAR(value(gaussian_information(K, noise, C, n, 0)),
                information_of_joint(K, noise, C, n), 1e-10)
        << n;
  }
  // The ridge of 1e-6 changes it by about d 1e-6 / 2 at most.
  EXPECT_NEAR(value(gaussian_information(K, noise, C)), information_of_joint(K, noise, C, 1), 1e-4);
}

TEST(GaussianInformation, DoesNotDependOnCoordinates) {
  const Tensor K = 0.5 * normal({4, 4}, 1), noise = spd(4, 2), C = spd(4, 3);
  const Tensor T = normal({4, 4}, 4), inverse = at::linalg_inv(T);
  EXPECT_NEAR(value(gaussian_information(T.mm(K).mm(inverse), T.mm(noise).mm(T.t()),
                                         T.mm(C).mm(T.t()), 3, 0)),
              value(gaussian_information(K, noise, C, 3, 0)), 1e-9);
}

TEST(GaussianInformation, FallsWithTheLagAndIsZeroWithoutDynamics) {
  const Tensor K = 0.4 * normal({4, 4}, 1), noise = spd(4, 2), C = spd(4, 3);
  double before = std::numeric_limits<double>::infinity();
  for (int64_t n = 1; n < 9; ++n) {
    const double I = value(gaussian_information(K, noise, C, n, 0));
    EXPECT_LE(I, before + 1e-12) << n;
    EXPECT_GE(I, 0) << n;
    before = I;
  }
  EXPECT_EQ(value(gaussian_information(at::zeros_like(K), noise, C)), 0);
}

TEST(GaussianInformation, HasAGradient) {
  const Tensor K = (0.5 * normal({3, 3}, 1)).requires_grad_(true);
  const Tensor noise = spd(3, 2), C = spd(3, 3), direction = normal({3, 3}, 5);
  const Tensor g = torch::autograd::grad({gaussian_information(K, noise, C, 3)}, {K})[0];
  const at::NoGradGuard no_graph;
  const double h = 1e-6;
  const double rough = value(gaussian_information(K + h * direction, noise, C, 3) -
                             gaussian_information(K - h * direction, noise, C, 3)) /
                       (2 * h);
  EXPECT_NEAR(value((g * direction).sum()), rough, 1e-7);
}

/// The paper's sum, element by element.
double contrast_by_loops(const Tensor& latents, const ContrastOptions& o) {
  const int64_t B = latents.size(0), T = latents.size(1);
  const auto unit = [&](int64_t b, int64_t n) {
    const Tensor z = latents[b][n];
    return o.similarity == Similarity::cosine ? z / z.norm() : z;
  };
  const auto score = [&](int64_t b, int64_t n, int64_t c, int64_t m) {
    return value(unit(b, n).dot(unit(c, m))) / o.tau;
  };
  double total = 0;
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t n = 0; n < T; ++n) {
      double all = 0, mean = 0;
      int64_t positives = 0;
      for (int64_t c = 0; c < B; ++c) {
        for (int64_t m = 0; m < T; ++m) {
          if (o.include_self || c != b || m != n) all += std::exp(score(b, n, c, m));
        }
      }
      for (int64_t m = std::max<int64_t>(0, n - o.k); m <= std::min(T - 1, n + o.k); ++m) {
        if (m == n) continue;
        mean += score(b, n, b, m);
        ++positives;
      }
      total += mean / static_cast<double>(positives) - std::log(all);
    }
  }
  return total / static_cast<double>(B * T);
}

TEST(Contrast, IsThePapersSum) {
  const Tensor z = normal({3, 5, 4}, 1);
  for (const bool self : {false, true}) {
    for (const auto similarity : {Similarity::cosine, Similarity::inner}) {
      const ContrastOptions o{.k = 2, .tau = 0.7, .similarity = similarity, .include_self = self};
      EXPECT_NEAR(value(contrast(z, o)), contrast_by_loops(z, o), 1e-12);
    }
  }
}

TEST(Contrast, IsNeverPositiveAndStableAtSmallTemperatures) {
  const Tensor z = normal({2, 9, 3}, 2);
  for (const double tau : {10.0, 0.1, 1e-3}) {
    const double I = value(contrast(z, {.tau = tau}));
    EXPECT_LE(I, 0) << tau;
    EXPECT_TRUE(std::isfinite(I)) << tau;
    EXPECT_LE(value(contrast_within(z, {.tau = tau})), 0) << tau;
  }
  EXPECT_TRUE(std::isfinite(value(contrast(at::zeros({2, 9, 3})))));  // no direction at all
}

TEST(Contrast, DoesNotDependOnRotationOrTheOrderOfSequences) {
  const Tensor z = normal({4, 9, 5}, 3);
  const Tensor turned = z.matmul(std::get<0>(at::linalg_qr(normal({5, 5}, 4))));
  const Tensor moved = z.index_select(0, at::tensor({2, 0, 3, 1}, at::kLong));
  EXPECT_NEAR(value(contrast(turned)), value(contrast(z)), 1e-12);
  EXPECT_NEAR(value(contrast(moved)), value(contrast(z)), 1e-12);
  EXPECT_NEAR(value(contrast_within(turned)), value(contrast_within(z)), 1e-12);
  EXPECT_NEAR(value(contrast_within(moved)), value(contrast_within(z)), 1e-12);
}

TEST(ContrastWithin, TakesCompleteNeighbourhoodsOfItsOwnSequence) {
  const int64_t T = 8, k = 2;
  const double tau = 0.5;
  const Tensor z = normal({2, T, 3}, 5);
  double total = 0;
  int64_t anchors = 0;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t n = k; n < T - k; ++n) {
      double near = 0, far = 0;
      for (int64_t m = 0; m < T; ++m) {
        if (m == n) continue;
        const double e =
            std::exp(value(z[b][n].dot(z[b][m]) / (z[b][n].norm() * z[b][m].norm())) / tau);
        (std::abs(m - n) <= k ? near : far) += e;
      }
      total += std::log(near / (near + far));
      ++anchors;
    }
  }
  EXPECT_NEAR(value(contrast_within(z, {.k = k, .tau = tau})), total / static_cast<double>(anchors),
              1e-12);
}

TEST(ContrastWithin, RefusesNeighbourhoodsThatNeverFit) {
  EXPECT_THROW(contrast_within(normal({2, 6, 3}, 1), {.k = 3}), ritz::InvalidArgument);
  EXPECT_EQ(value(contrast_within(normal({2, 7, 3}, 1), {.k = 3})), 0);  // one anchor, no negatives
  EXPECT_THROW(contrast(normal({2, 6, 3}, 1), {.k = 0}), ritz::InvalidArgument);
  EXPECT_THROW(contrast(normal({2, 6, 3}, 1), {.tau = 0}), ritz::InvalidArgument);
  EXPECT_THROW(contrast(normal({6, 3}, 1)), ritz::InvalidArgument);
}

}  // namespace
