#pragma once
// What commands about snapshots of a dynamical system have in common on the command line: which
// data, which dictionary, what is held out. koopman_data.h loads what they name.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/ritz/frame/options.h"
#include "ritz/base/error.h"

namespace ritz::app {

struct KoopmanDataOptions {
  std::vector<std::string> files;
  std::string weights, mask, centres;
  std::string dictionary;  // empty: linear, or what the method asks for
  double dt = 1, holdout = 0.25, period = 6.283185307179586, kernel_scale = 0;
  int64_t size = 0, spacing = 1, degree = 2;
  bool trajectories = false;

  void declare(Options& options) {
    declare_data(options);
    declare_dictionary(options);
  }
  void declare_data(Options& options) {
    declare_snapshots(options);
    declare_holdout(options);
  }
  void declare_snapshots(Options& options) {
    options
        .positional("X", files,
                    "snapshots [T, d], trajectories [N, T, d], or two files of pairs, X and Y "
                    "[M, d]; real or complex")
        .required();
    options.flag("--trajectories", trajectories,
                 "each file is one trajectory [T, d]; lengths may differ");
    options.option("--dt", dt, "DT", "time between the snapshots of a pair").above(0);
    options.option("--weights", weights, "FILE",
                   "quadrature weights, one a pair or one a state [1/M each]");
    options.option("--mask", mask, "FILE",
                   "what to leave out (nonzero or NaN): features [d], states [T], or the data's "
                   "shape");
  }
  void declare_holdout(Options& options) {
    options
        .option("--holdout", holdout, "F",
                "the last F of the pairs (of several trajectories the last whole ones) are kept "
                "for verification; 0: none, and nothing is verified")
        .at_least(0)
        .below(1);
  }
  void declare_dictionary(Options& options) {
    options.option("--dictionary", dictionary, "NAME",
                   "linear, polynomial, delay, pod, rbf, fourier, kernel:gaussian, "
                   "kernel:laplacian, kernel:lorentzian, kernel:polynomial or kernel:linear "
                   "[linear; with a kernel kernel:gaussian, forecast kernel:lorentzian]");
    options
        .option("--size", size, "N",
                "functions (delay: delays a feature); 0: linear d, polynomial degree 2, delay 10, "
                "pod all of the rank up to half the pairs, rbf and kernel 100 or a quarter of the "
                "pairs, fourier 25")
        .at_least(0);
    options.option("--delay-spacing", spacing, "STEPS", "between the delays").at_least(1);
    options.option("--period", period, "P", "the domain of fourier's waves").above(0);
    options
        .option("--kernel-scale", kernel_scale, "S",
                "length scale of rbf and the kernels; 0: from the data")
        .at_least(0);
    options.option("--degree", degree, "P", "of kernel:polynomial").at_least(1);
    options.option("--centres", centres, "FILE",
                   "a sample [n, d] for the centres of rbf, best independent of X [X]");
  }
  void check() const {
    if (files.size() > 2 && !trajectories) {
      throw UsageError("X", "one file, or two of pairs (more: --trajectories)",
                       std::to_string(files.size()) + " files");
    }
    if (dictionary.empty()) return;
    static constexpr const char* kNames[] = {"linear",
                                             "polynomial",
                                             "delay",
                                             "pod",
                                             "rbf",
                                             "fourier",
                                             "kernel:gaussian",
                                             "kernel:laplacian",
                                             "kernel:lorentzian",
                                             "kernel:polynomial",
                                             "kernel:linear"};
    for (const char* name : kNames) {
      if (dictionary == name) return;
    }
    throw UsageError("--dictionary",
                     "linear, polynomial, delay, pod, rbf, fourier or kernel:gaussian, laplacian, "
                     "lorentzian, polynomial, linear",
                     dictionary);
  }
};

}  // namespace ritz::app
