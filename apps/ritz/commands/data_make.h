#pragma once
// `ritz data make GENERATOR`: one command a generator, so that each has its own options and help.
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct MakeSpikedWigner {
  static constexpr std::string_view kName = "data make spiked-wigner";
  static constexpr std::string_view kSummary =
      "a symmetric noise matrix with known spikes (batch-scaling, Theorem H)";
  static constexpr std::string_view kDescription =
      "[P, P]: spikes in random directions plus symmetric Gaussian noise of variance sigma^2/b. "
      "The truth beside it "
      "says where the theorem expects the extreme eigenvalues.";
  static constexpr std::string_view kExample =
      "ritz data make spiked-wigner --size 400 --batch 4 --out wigner.npy";

  int64_t size = 800;
  std::vector<double> spikes = {60, -45};
  double sigma = 1, batch = 1;

  void declare(Options& options) {
    options.option("--size", size, "P", "rows and columns").at_least(1);
    options.option("--spikes", spikes, "L,L,...", "eigenvalues before the noise");
    options.option("--sigma", sigma, "S", "deviation of one element at b = 1").at_least(0);
    options.option("--batch", batch, "B", "the batch size b that divides the variance").above(0);
    options.output_file("the matrix").required();
  }
  void run(Run& run) const;
};

struct MakeSpikedWishart {
  static constexpr std::string_view kName = "data make spiked-wishart";
  static constexpr std::string_view kSummary =
      "a sample covariance matrix with a known spike (batch-scaling, Theorem G)";
  static constexpr std::string_view kDescription =
      "[P, P]: X^T X / B of B Gaussian rows whose covariance is sigma2 but for one eigenvalue. The "
      "truth beside it "
      "says where the theorem expects the extreme eigenvalues.";
  static constexpr std::string_view kExample =
      "ritz data make spiked-wishart --size 300 --spike 40 --batch 600 --out wishart.npy";

  int64_t size = 600, batch = 600;
  double spike = 10, sigma2 = 1;

  void declare(Options& options) {
    options.option("--size", size, "P", "rows and columns").at_least(1);
    options.option("--spike", spike, "L", "the population's largest eigenvalue").above(0);
    options.option("--sigma2", sigma2, "S", "its other eigenvalues").above(0);
    options.option("--batch", batch, "B", "samples").at_least(1);
    options.output_file("the matrix").required();
  }
  void run(Run& run) const;
};

struct MakeDesignValues {
  static constexpr std::string_view kName = "data make design-values";
  static constexpr std::string_view kSummary =
      "a known function, or a small simulation, at a design's points (dpp-least-squares)";
  static constexpr std::string_view kDescription =
      "[n]: what your own simulation would give for `ritz design fit`. bump: exp(-(x-1)^2/4); "
      "runge: "
      "1/(1+5x^2); exponential: exp(-sum x_j); diffusion: the mean of the solution of a diffusion "
      "equation with two parameters, one solve a point.";
  static constexpr std::string_view kExample =
      "ritz design points --space legendre --degree 4 --out at.csv && ritz data make design-values "
      "--at at.csv --out y.csv";

  std::string function = "exponential", at;
  int64_t grid = 128;

  void declare(Options& options) {
    options.option("--function", function, "NAME", "which function")
        .one_of({"bump", "runge", "exponential", "diffusion"});
    options.option("--at", at, "FILE", "the design: what `ritz design points` wrote").required();
    options.option("--grid", grid, "G", "diffusion: cells a side").at_least(2);
    options.output_file("the values, one column").required();
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
