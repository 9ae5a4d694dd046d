// Your own linear operator: write how it multiplies, and every solver of ritz takes it.
//
//     cmake --build build/release --target example_own_operator
//     build/release/examples/own_operator          # a plate of 96 x 96 points
//     build/release/examples/own_operator 400
//
// The operator is steady heat conduction, -div(k grad u), in a square plate with insulating spots,
// kept at 0 on its rim. No matrix is ever formed.
#include <torch/types.h>

#include <cstdio>
#include <cstdlib>

#include "ritz/krylov/cg.h"
#include "ritz/krylov/lanczos.h"
#include "ritz/linop/diagonal.h"

using ritz::Tensor;

// Step 1. Derive from SymmetricOperator (LinearOperator where the adjoint differs) and say how many
// rows there are, which dtype and device, and what the product is. Vectors come as [n] or as a
// block [n, k].
class HeatConduction : public ritz::SymmetricOperator {
 public:
  // conductivity [m + 1, m] between vertical and [m, m + 1] between horizontal neighbours
  HeatConduction(Tensor vertical, Tensor horizontal)
      : m_(horizontal.size(0)),
        vertical_(std::move(vertical)),
        horizontal_(std::move(horizontal)) {}

  int64_t rows() const override { return m_ * m_; }
  ritz::TensorOptions options() const override { return vertical_.options(); }

  Tensor diagonal() const {
    return (vertical_.slice(0, 1) + vertical_.slice(0, 0, -1) + horizontal_.slice(1, 1) +
            horizontal_.slice(1, 0, -1))
        .flatten();
  }

 private:
  Tensor do_apply(const Tensor& x) const override {
    const auto u = x.reshape({m_, m_, -1});  // the block's columns go along
    const auto rim_row = torch::zeros_like(u.slice(0, 0, 1)),
               rim_column = torch::zeros_like(u.slice(1, 0, 1));
    // heat flowing through each edge, then what remains in each point
    const auto down =
        torch::diff(torch::cat({rim_row, u, rim_row}, 0), 1, 0) * vertical_.unsqueeze(2);
    const auto across =
        torch::diff(torch::cat({rim_column, u, rim_column}, 1), 1, 1) * horizontal_.unsqueeze(2);
    return -(torch::diff(down, 1, 0) + torch::diff(across, 1, 1)).reshape(x.sizes());
  }

  int64_t m_;
  Tensor vertical_, horizontal_;
};

int main(int argc, char** argv) {
  const int64_t m = argc > 1 ? std::atoll(argv[1]) : 96;

  // A plate that conducts a thousand times worse in a band of its middle.
  const auto conductivity = [m](int64_t rows, int64_t columns) {
    const auto y = torch::linspace(0, 1, rows, torch::kFloat64).unsqueeze(1);
    const auto x = torch::linspace(0, 1, columns, torch::kFloat64).unsqueeze(0);
    const auto band = (y - 0.5).abs() + 0 * x < 0.1;
    const auto k = torch::where(band, 1e-3, 1.0).to(torch::kFloat64);
    return k * static_cast<double>((m + 1) * (m + 1));
  };
  const HeatConduction A(conductivity(m + 1, m), conductivity(m, m + 1));

  // Step 2. Its extreme eigenvalues by Lanczos: how stiff is the problem?
  const auto run = ritz::lanczos(A, {.steps = 200, .seed = 1});
  const auto ends = ritz::ritz_pairs(run, {.largest = 1, .smallest = 1});
  const double top = ends.largest.values[0].item<double>();
  std::printf("largest eigenvalue   %.6g  (within %.1e)\n", top, ends.largest.residual_bounds[0]);
  std::printf("smallest, at most    %.6g  (within %.1e)\n", ends.smallest.values[0].item<double>(),
              ends.smallest.residual_bounds[0]);

  // Step 3. Solve A u = f by conjugate gradients, plain and with the diagonal as preconditioner.
  const auto f = torch::ones({A.rows()}, torch::kFloat64);
  const auto plain = ritz::cg(A, f, {.rtol = 1e-8});
  const ritz::DiagonalOperator jacobi(1 / A.diagonal());
  const auto better = ritz::cg(A, f, {.rtol = 1e-8, .preconditioner = &jacobi});
  std::printf("conjugate gradients  %ld products\n", static_cast<long>(plain.iterations));
  std::printf("with its diagonal    %ld products\n", static_cast<long>(better.iterations));
  std::printf("hottest point        %.6g\n", better.x.max().item<double>());

  // Step 4. Trust, but verify: the residual is computed anew, and the two solutions agree.
  const double residual = ((A.apply(better.x) - f).norm() / f.norm()).item<double>();
  const double gap = ((plain.x - better.x).norm() / better.x.norm()).item<double>();
  std::printf("relative residual    %.1e, difference of the solutions %.1e\n", residual, gap);
  // Gershgorin: no eigenvalue exceeds twice the largest diagonal element.
  const bool right = plain.converged && better.converged && residual < 1e-7 && gap < 1e-5 &&
                     better.iterations < plain.iterations && top > 0 &&
                     top <= 2 * A.diagonal().max().item<double>();
  return right ? 0 : 1;
}
