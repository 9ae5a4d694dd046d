#pragma once
// Random-matrix theory of a batch's curvature: where the extreme eigenvalues of H_batch = H + eps
// are expected when those of H and the size of the noise eps are known.
//
// Granziol, Zohren, Roberts, "Learning Rates as a Function of Batch Size", JMLR 2022: Theorem H
// (Hessian, Wigner noise) (paper) and Theorem G (Gauss-Newton, Wishart noise) (reconstructed: the
// form of the spiked covariance model). B samples of N, P parameters, sigma^2 the per-sample
// variance of one element of the Hessian.
//
//     #include "ritz/optim/batch_scaling/theory.h"
//     #include <cmath>
//     int main() {  // 800 parameters, an eigenvalue 60, noise of variance 1 in each element
//       const double b = ritz::optim::effective_batch(4, 60000);
//       const auto top = ritz::optim::wigner_top(60, std::sqrt(800 / b));
//       // What a batch of 4 sees of it, and whether it still stands out of the noise.
//       return top.value > 60 && top.separated ? 0 : 1;
//     }
#include <cstdint>
#include <vector>

#include "ritz/krylov/quadrature.h"

namespace ritz::optim {

/// b with 1/b = 1/B - 1/N for batches drawn without replacement (infinite at B = N), b = B with it.
/// The noise of a batch mean is that of B independent samples, less what the finite population
/// already fixes. Throws InvalidArgument where B < 1 or, without replacement, B > N.
double effective_batch(int64_t batch, int64_t samples, bool replacement = false);

/// An eigenvalue of H as a batch sees it.
struct Outlier {
  double value = 0;        // of the batch Hessian
  double overlap = 0;      // |<v', v>|^2 of the eigenvectors; 0 where it is swallowed
  bool separated = false;  // outside the bulk; false: `value` is the bulk's edge
};

/// Theorem H, s = sqrt(P sigma^2 / b) >= 0, H's bulk at 0:
///   lambda + s^2 / lambda   where lambda > s,  overlap 1 - s^2 / lambda^2;
///   2 s                     otherwise.
Outlier wigner_top(double lambda, double s);
/// The same for the lower end: lambda + s^2 / lambda where lambda < -s, else -2 s.
Outlier wigner_bottom(double lambda, double s);

/// The bulk of H's spectrum as atoms whose weights sum to 1.
struct Bulk {
  std::vector<double> nodes, weights;
};
/// Quadrature nodes and weights (mean over probes) without the nodes of the outliers themselves:
/// those within `tolerance` |outlier| of one, and those beyond the outermost ones.
Bulk bulk_of(const SpectralQuadrature& quadrature, const std::vector<double>& outliers,
             double tolerance = 1e-3);

/// Theorem H for a general bulk mu (derived: subordination of the free sum with a semicircle). With
/// m(z) = int dmu(t) / (z - t):
///   lambda + s^2 m(lambda)  where s^2 int dmu(t) / (lambda - t)^2 < 1, lambda beyond the bulk;
///                           overlap 1 - s^2 int dmu(t) / (lambda - t)^2;
///   the edge of mu + semicircle otherwise: min over z beyond mu of z + s^2 m(z).
/// With mu = delta_0 this is Theorem H. Cost: O(nodes), times 60 halvings below the threshold.
Outlier wigner_top(double lambda, double s, const Bulk& bulk);
Outlier wigner_bottom(double lambda, double s, const Bulk& bulk);

/// Theorem G: ell the eigenvalue of the population (spike and bulk together), sigma2 the
/// population's bulk eigenvalue, q = P / b:
///   ell (1 + q sigma2 / (ell - sigma2))   where ell > sigma2 (1 + sqrt q);
///   sigma2 (1 + sqrt q)^2                 otherwise.
/// Overlap (1 - q / t^2) / (1 + q / t), t = (ell - sigma2) / sigma2.
Outlier wishart_top(double ell, double sigma2, double q);
/// The lower end of the bulk: sigma2 (1 - sqrt q)^2, or 0 for q >= 1 (a mass 1 - 1/q lies there).
Outlier wishart_bottom(double sigma2, double q);

/// sqrt(4 s^2 - t^2) / (2 pi s^2) on [-2 s, 2 s].
double semicircle_density(double t, double s);
/// Marchenko-Pastur's density on [sigma2 (1 - sqrt q)^2, sigma2 (1 + sqrt q)^2]; for q > 1 it
/// integrates to 1/q, the rest being an atom at 0.
double marchenko_pastur_density(double t, double sigma2, double q);

}  // namespace ritz::optim
