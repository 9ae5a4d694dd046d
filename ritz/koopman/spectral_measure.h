#pragma once
// The spectral measure of an observable g under a measure-preserving map, smoothed to a density.
//
// <a, b> is linear in its first slot, and the measure xi_g on the circle is the one with
//
//     int e^{i n theta} d xi_g(theta) = <K^n g, g>,   n = 0, 1, 2, ...
//
// so that a rotation by phi and its eigenfunction give a point mass at phi. Three ways to it:
//
//   mpEDMD     the angles and weights of a unitary matrix, smoothed: sum_k |c_k|^2 K_eps(theta_k -
//              theta) (paper: Colbrook, SINUM 2023; Rigged DMD, 2024)
//   isometry   resolvents of EDMD's own matrix at m points outside the circle a theta; no polar
//              factor, so it may dip below zero (paper: Colbrook & Townsend, CPAM 2024)
//   moments    a filtered Fourier series of <K^n g, g>, straight from the autocorrelation
//
//     #include <torch/types.h>
//     #include "ritz/koopman/spectral_measure.h"
//     int main() {  // one eigenvalue e^{i}: Poisson's kernel at angle 1, mass 2
//       using namespace ritz::koopman;
//       const auto one = torch::ones({1}, torch::kFloat64);
//       const auto theta = circle_grid(1000);
//       const auto xi = smoothed_measure(rational_kernel(1), 0.05, one, 2 * one, theta);
//       const double at = theta[xi.argmax().item<int64_t>()].item<double>();
//       return std::abs(at - 1) < 0.01 && std::abs(circle_integral(xi) - 2) < 1e-9 ? 0 : 1;
//     }
#include <string_view>

#include "ritz/base/tensor.h"
#include "ritz/koopman/rational_kernel.h"

namespace ritz::koopman {

/// n angles in [-pi, pi), float64, equally spaced: where densities are sampled.
Tensor circle_grid(int64_t n);
/// The trapezoidal rule for samples on circle_grid(n): spectral accuracy for smooth densities.
double circle_integral(const Tensor& density);

/// sum_k w_k K_eps(angles_k - theta): angles [N], weights [N] >= 0 -> float64 [theta]. >= 0 for
/// order 1; the integral is sum_k w_k. N m cotangents a theta.
Tensor smoothed_measure(const RationalKernel& kernel, double epsilon, const Tensor& angles,
                        const Tensor& weights, const Tensor& theta);

/// Generalised eigenfunctions (wave packets) g_theta = sum_k v_k c_k K_eps(angles_k - theta):
/// vectors V [D, N], coefficients c [N] of g = V c -> complex128 [D, theta]. Where theta is no
/// eigenvalue's angle they are eigenfunctions but for O(eps) of their norm, and
/// int g_theta d theta = g.
Tensor wave_packets(const RationalKernel& kernel, double epsilon, const Tensor& angles,
                    const Tensor& vectors, const Tensor& coefficients, const Tensor& theta);

/// The isometry form for K [N, N] in an orthonormal basis (Q^* sqrt(W) PY R^{-1}) and g's
/// coordinates [N] there:
///
///     xi(theta) = (1 / 2 pi) Re sum_j r_j (2 <(I - K / e_j)^{-1} g, g> - <g, g>),
///     e_j = e^{i theta - i eps a_j}
///
/// the rational kernel on the powers of K: equal to smoothed_measure where K is unitary. (derived;
/// the authors' poles lie elsewhere and their QZ form needs two matrices.) K is reduced to
/// Hessenberg form from g once (Arnoldi), then every resolvent costs N^2 multiplications.
Tensor isometry_measure(const RationalKernel& kernel, double epsilon, const Tensor& K,
                        const Tensor& g, const Tensor& theta);

/// Filters of the moment form: phi(0) = 1, phi(1) = 0, even; the order is how fast phi leaves 1.
enum class Filter {
  fejer,      // 1 - |x|
  cosine,     // (1 + cos pi x) / 2
  fourth,     // 1 - x^4 (-20 |x|^3 + 70 x^2 - 84 |x| + 35)
  sharpened,  // p^4 (35 - 84 p + 70 p^2 - 20 p^3), p the cosine filter
  bump,       // exp(-2 / (1 - |x|) exp(-0.109550455106347 / |x|^4)): all orders
};
/// "fejer", "cosine", "fourth", "sharpened", "bump"; InvalidArgument for another word.
Filter parse_filter(std::string_view name);
/// phi at every element of x (float64, any sign); 0 where |x| >= 1.
Tensor filter_value(Filter filter, const Tensor& x);

/// <K^n g, g> for n = 0..count from values of g along trajectories [T] or [N, T]: the mean of
/// g(x_{t+n}) conj(g(x_t)) over the pairs there are (T - n a trajectory). complex128 [count + 1].
/// By FFT, O(N T log T). InvalidArgument unless 1 <= count < T.
Tensor ergodic_moments(const Tensor& values, int64_t count);

/// (1 / 2 pi) sum_{|n| <= N} phi(n / N) a_n e^{-i n theta}, moments a_0..a_N [N + 1], a_{-n} =
/// conj(a_n) -> float64 [theta].
Tensor moment_measure(const Tensor& moments, Filter filter, const Tensor& theta);

/// Point masses: the Fejer sum divided by its value at 0. Tends to xi({theta}) as the number of
/// moments grows: the mass of an eigenvalue at theta, 0 where there is none.
Tensor point_masses(const Tensor& moments, const Tensor& theta);

}  // namespace ritz::koopman
