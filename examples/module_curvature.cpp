// The curvature of the loss of your own torch::nn::Module.
//
//     cmake --build build/release --target example_module_curvature
//     build/release/examples/module_curvature
//
// A Hessian is a linear operator on the parameters: Lanczos finds its extreme eigenvalues,
// stochastic quadrature its trace and density, and neither ever sees a matrix.
#include <torch/nn.h>
#include <torch/types.h>

#include <cmath>
#include <cstdio>

#include "ritz/base/random.h"
#include "ritz/krylov/lanczos.h"
#include "ritz/krylov/quadrature.h"
#include "ritz/nn/curvature.h"
#include "ritz/nn/wrap.h"

// Step 1. Any module with a forward function from one tensor to one tensor.
struct MyNetwork : torch::nn::Module {
  MyNetwork()
      : in(register_module("in", torch::nn::Linear(8, 24))),
        middle(register_module("middle", torch::nn::Linear(24, 24))),
        out(register_module("out", torch::nn::Linear(24, 3))) {
    ritz::RandomStream random(1, ritz::stream_id("example/weights"));
    const torch::NoGradGuard no_grad;
    for (auto& p : parameters()) random.fill_normal(p, 0, 0.3);
    to(torch::kFloat64);
  }
  torch::Tensor forward(const torch::Tensor& x) {
    const auto h = torch::tanh(in(x));
    return out(h + torch::tanh(middle(h)));
  }
  torch::nn::Linear in, middle, out;
};

int main() {
  // Step 2. Data: three classes that depend on the inputs nonlinearly.
  ritz::RandomStream random(2, ritz::stream_id("example/data"));
  const auto x = random.normal({300, 8}, torch::kFloat64);
  const auto y =
      torch::stack({x.select(1, 0) * x.select(1, 1), x.select(1, 2), x.select(1, 3).square() - 1},
                   1)
          .argmax(1);

  // Step 3. Wrap the module; say what is differentiated: the mean cross-entropy over all samples.
  const auto module = std::make_shared<MyNetwork>();
  const ritz::nn::Objective objective{ritz::nn::wrap(module, "my network"), {}, x, y};
  const auto& network = objective.network;
  std::printf("parameters           %ld\n", static_cast<long>(network.parameter_count()));

  // Step 4. A function of theta is all that gradient descent needs; the largest eigenvalue of the
  // Hessian says which learning rates are stable: those below 2 / lambda.
  const auto largest = [&] {
    const auto run = ritz::lanczos(*ritz::nn::hessian(objective), {.steps = 25, .seed = 3});
    return ritz::ritz_pairs(run, {.largest = 1, .vectors = false}).largest.values[0].item<double>();
  };
  const auto descend = [&](double rate, int steps) {
    for (int i = 0; i < steps; ++i) {
      network.set_flat_parameters(network.flat_parameters() - rate * ritz::nn::gradient(objective));
    }
    return ritz::nn::mean_loss(objective);
  };
  const double start = ritz::nn::mean_loss(objective);
  double loss = start;
  for (int i = 0; i < 8; ++i) loss = descend(1 / largest(), 25);
  const double lambda = largest();
  std::printf("loss                 %.4f before, %.4f after 200 steps at 1 / lambda\n", start,
              loss);
  std::printf("largest eigenvalue   %.5g: rates above %.4g are unstable here\n", lambda,
              2 / lambda);

  // Step 5. Trace, Frobenius norm and the share of negative curvature, each with its standard
  // error.
  const auto spectrum = ritz::spectral_quadrature(*ritz::nn::hessian(objective),
                                                  {.steps = 60, .probes = 10, .seed = 4});
  const auto trace = ritz::trace(spectrum), frobenius = ritz::frobenius_norm(spectrum);
  const auto negative = ritz::trace_function(spectrum, [](double t) { return t < 0 ? 1.0 : 0.0; });
  std::printf("trace                %.4f +- %.4f\n", trace.value, *trace.standard_error);
  std::printf("Frobenius norm       %.4f +- %.4f\n", frobenius.value, *frobenius.standard_error);
  std::printf("negative eigenvalues %.0f +- %.0f\n", negative.value, *negative.standard_error);
  std::printf("lowest               %.5g\n", spectrum.smallest());

  // Step 6. The same products, once more: along a unit vector v a step h v raises the loss by h g v
  // + h^2 v H v / 2.
  const auto theta = network.flat_parameters(), g = ritz::nn::gradient(objective);
  const auto H = ritz::nn::hessian(objective);
  auto v = random.normal({network.parameter_count()}, torch::kFloat64);
  v /= v.norm();
  const double h = 1e-3, here = ritz::nn::mean_loss(objective);
  const double predicted =
      h * g.dot(v).item<double>() + 0.5 * h * h * v.dot(H->apply(v)).item<double>();
  network.set_flat_parameters(theta + h * v);
  const double measured = ritz::nn::mean_loss(objective) - here;
  std::printf("step of %.0e        predicted %+.6e, measured %+.6e\n", h, predicted, measured);
  const bool right = loss < 0.5 * start && std::abs(measured - predicted) < 10 * h * h * h;
  return right ? 0 : 1;
}
