#pragma once
// Stochastic Lanczos quadrature: the spectral measure of a symmetric operator as nodes and weights.
//
// For a unit vector q, the Lanczos matrix T of (A, q) gives Gauss's quadrature of the measure
// sum_i (q^T u_i)^2 delta(t - lambda_i): nodes theta_k = eig(T), weights w_k = U[0, k]^2, exact for
// polynomials of degree <= 2 m - 1 (Golub and Meurant). Over probes q uniform on the sphere its
// mean is (1/P) sum_i delta(t - lambda_i), so that tr f(A) = P E sum_k w_k f(theta_k).
//
//     #include "ritz/krylov/quadrature.h"
//     #include <torch/types.h>
//     #include "ritz/krylov/density.h"
//     #include "ritz/linop/diagonal.h"
//     int main() {  // eigenvalues 1, 2, ..., 500
//       const ritz::DiagonalOperator A(torch::arange(1., 501., torch::kFloat64));
//       const auto spectrum = ritz::spectral_quadrature(A, {.steps = 60, .probes = 8, .seed = 1});
//       const auto trace = ritz::trace(spectrum);             // value, standard error
//       const auto log_det = ritz::log_det(spectrum, 1e-3);   // of A + 1e-3 I
//       const auto curve = ritz::spectral_density(spectrum);  // to be drawn
//       return std::abs(trace.value - 125250) < 5 * *trace.standard_error && log_det && curve.t.size() > 0
//                  ? 0
//                  : 1;
//     }
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ritz/krylov/lanczos.h"

namespace ritz {

struct QuadratureOptions {
  int64_t steps = 100;  // m, clipped to P
  int64_t probes = 1;   // n_v
  int64_t block =
      0;  // probes that advance together; 0: all. The basis takes block (m + 1) P numbers
  uint64_t seed = 0;                          // probe l starts from stream ("lanczos/start", l)
  StartVector start = StartVector::gaussian;  // rademacher for traces: less variance
  BasisStore store = BasisStore::full;
};

/// One probe's nodes, ascending, and weights, summing to 1.
struct ProbeQuadrature {
  std::vector<double> nodes;
  std::vector<double> weights;
  std::vector<double> residual_bounds;  // of each node as an eigenvalue, not below rounding
};

struct SpectralQuadrature {
  int64_t dimension = 0;  // P
  std::vector<ProbeQuadrature> probes;
  bool may_have_ghosts = false;  // BasisStore::none: fit for smoothed densities, not for counting

  double smallest() const;  // over all probes' nodes
  double largest() const;
};

/// A mean over probes and its standard error (none for one probe).
struct Estimate {
  double value = 0;
  std::optional<double> standard_error = {};
};

SpectralQuadrature spectral_quadrature(const LinearOperator& op,
                                       const QuadratureOptions& options = {});

/// Nodes, weights and residual bounds of one tridiagonal matrix. The recursion knows a residual to
/// `epsilon` max |theta| and no further (the rounding unit of the operator's dtype).
ProbeQuadrature gauss_quadrature(const Tridiagonal& T, double epsilon = 0);

/// tr f(A) = P mean_l sum_k w_k f(theta_k).
Estimate trace_function(const SpectralQuadrature& q, const std::function<double(double)>& f);
/// mu_p = tr(A^p) / P; exact for each probe's measure for p <= 2 m - 1.
Estimate moment(const SpectralQuadrature& q, int64_t p);
Estimate trace(const SpectralQuadrature& q);
/// |A|_F = sqrt(P mu_2); its standard error by the delta method.
Estimate frobenius_norm(const SpectralQuadrature& q);
/// log det(A + delta I); none where a node is <= -delta.
std::optional<Estimate> log_det(const SpectralQuadrature& q, double delta = 0);

/// The npz of the Deep Curvature Suite: `eigvals` [n], `gammas` [n] (summing to 1 over all probes).
/// Beside them `probe` [n] (which probe a node is of) and `dimension`, which the suite ignores.
void write_curvature_suite(const std::string& path, const SpectralQuadrature& q,
                           bool force = false);
/// Reads such a file, the suite's own too: eigvals [n] or [n, 2] (real, imaginary = 0). Where it
/// says nothing of the dimension, `dimension` is 0 and all nodes belong to one probe. DataError
/// where keys lack, lengths differ, or weights are negative or do not sum to 1.
SpectralQuadrature read_curvature_suite(const std::string& path);

}  // namespace ritz
