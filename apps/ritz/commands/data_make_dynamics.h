#pragma once
// `ritz data make` for dynamics: trajectories whose spectra are known, and pairs of maps that no
// sample tells apart.
#include <string>
#include <string_view>

#include "apps/ritz/frame/command.h"

namespace ritz::app {

struct MakeDuffing {
  static constexpr std::string_view kName = "data make duffing";
  static constexpr std::string_view kSummary = "trajectories of Duffing's oscillator (koopman)";
  static constexpr std::string_view kDescription =
      "[N, K + 1, 2]: position and velocity of x'' = x - x^3 - A x' from N initial states. Drawn "
      "from the set of energy <= 2 the undamped flow preserves their distribution and every "
      "spectrum lies on the unit circle; from the square [-2, 2]^2 it does not.";
  static constexpr std::string_view kExample =
      "ritz data make duffing --trajectories 3000 --out duffing.npy";

  int64_t trajectories = 3000, steps = 5;
  double dt = 0.3, damping = 0;
  std::string region = "invariant";

  void declare(Options& options) {
    options.option("--trajectories", trajectories, "N", "initial states").at_least(1);
    options.option("--steps", steps, "K", "pairs a trajectory").at_least(1);
    options.option("--dt", dt, "T", "time between snapshots").above(0);
    options.option("--damping", damping, "A", "0: energy is conserved").at_least(0);
    options.option("--region", region, "REGION", "where initial states are drawn")
        .one_of({"invariant", "square"});
    options.output_file("the trajectories").required();
  }
  void run(Run& run) const;
};

/// Lorenz's and Rossler's flows have the same options.
struct FlowCommandOptions {
  int64_t steps = 10000;
  double dt = 0.05, transient = 50;
  void declare(Options& options) {
    options.option("--steps", steps, "K", "pairs").at_least(1);
    options.option("--dt", dt, "T", "time between snapshots").above(0);
    options.option("--transient", transient, "T", "time thrown away first").at_least(0);
    options.output_file("the trajectory").required();
  }
};

struct MakeLorenz {
  static constexpr std::string_view kName = "data make lorenz";
  static constexpr std::string_view kSummary = "one trajectory of the Lorenz system (koopman)";
  static constexpr std::string_view kExample = "ritz data make lorenz --out lorenz.npy";
  FlowCommandOptions flow;
  void declare(Options& options) { flow.declare(options); }
  void run(Run& run) const;
};

struct MakeRossler {
  static constexpr std::string_view kName = "data make rossler";
  static constexpr std::string_view kSummary = "one trajectory of the Rossler system (koopman)";
  static constexpr std::string_view kExample = "ritz data make rossler --dt 0.2 --out rossler.npy";
  FlowCommandOptions flow;
  void declare(Options& options) { flow.declare(options); }
  void run(Run& run) const;
};

struct MakeCatMap {
  static constexpr std::string_view kName = "data make cat-map";
  static constexpr std::string_view kSummary =
      "trajectories of Arnold's cat map, exact in integers (koopman)";
  static constexpr std::string_view kDescription =
      "[N, K + 1, 2]: (x, y) -> (2 x + y, x + y) mod 2 pi, with --observable also "
      "g = sin x + sin(2 x + y) / 2 + (i / 4) sin(5 x + 3 y) as complex [N, K + 1], so that --out "
      "is a file of several arrays. With --rotation a first coordinate turns by sqrt(2) beside it. "
      "The truth has <K^n g, g>.";
  static constexpr std::string_view kExample =
      "ritz data make cat-map --steps 100000 --out cat.npy";

  int64_t trajectories = 1, steps = 10000;
  bool rotation = false, observable = false;

  void declare(Options& options) {
    options.option("--trajectories", trajectories, "N", "initial states").at_least(1);
    options.option("--steps", steps, "K", "pairs a trajectory").at_least(1);
    options.flag("--rotation", rotation, "the product with a rotation by sqrt(2): three columns");
    options.flag("--observable", observable, "write X and g");
    options.output_file("the trajectories").required();
  }
  void run(Run& run) const;
};

struct MakeTorusSkew {
  static constexpr std::string_view kName = "data make torus-skew";
  static constexpr std::string_view kSummary =
      "a skew product of the torus: has it eigenfunctions along the fibre? (koopman)";
  static constexpr std::string_view kDescription =
      "[N, K + 1, 2]: (x, y) -> (x + A, y + h(x)) mod 2 pi with h_q = u_q (e^{i q A} - 1). "
      "e^{i (y - u(x))} is an eigenfunction exactly where sum |u_q|^2 is finite: u_q = 1 / q up to "
      "--agree and q^-P beyond, so that the answer lies in coefficients that few snapshots do not "
      "show.";
  static constexpr std::string_view kExample =
      "ritz data make torus-skew --exponent 0.5 --out skew.npy";

  int64_t trajectories = 1, steps = 10000, harmonics = 64, agree = 8;
  double alpha = 2.399963229728653, exponent = 1;

  void declare(Options& options) {
    options.option("--trajectories", trajectories, "N", "initial states").at_least(1);
    options.option("--steps", steps, "K", "pairs a trajectory").at_least(1);
    options.option("--alpha", alpha, "A", "the rotation's angle").above(0);
    options.option("--harmonics", harmonics, "Q", "of h").at_least(1);
    options.option("--agree", agree, "Q", "u_q = 1 / q up to here").at_least(0);
    options.option("--exponent", exponent, "P", "u_q = q^-P beyond").above(0);
    options.output_file("the trajectories").required();
  }
  void run(Run& run) const;
};

/// Points, and points in the gap they left.
struct PairCommandOptions {
  int64_t points = 4000, inside = 400;
  void declare(Options& options) {
    options.option("--points", points, "M", "sampled points").at_least(2);
    options.option("--inside", inside, "K", "points in the gap").at_least(0);
    options
        .output_file(
            "X, Y, Y_other, and X_inside, Y_inside, Y_other_inside (.npz or another file "
            "of several arrays)")
        .required();
  }
};

struct MakeDiscPair {
  static constexpr std::string_view kName = "data make disc-pair";
  static constexpr std::string_view kSummary =
      "two maps of the disc, the same at every sample, with different spectra (koopman)";
  static constexpr std::string_view kDescription =
      "Half turns of the disc, and half turns with a twist on the widest annulus that no point "
      "hit. "
      "Y and Y_other are equal bit by bit; the spectra are {1, -1} and the whole circle. No method "
      "that sees only X and Y can tell which: the points in the gap can.";
  static constexpr std::string_view kExample = "ritz data make disc-pair --out disc.npz";
  PairCommandOptions pair;
  void declare(Options& options) { pair.declare(options); }
  void run(Run& run) const;
};

struct MakeIntervalPair {
  static constexpr std::string_view kName = "data make interval-pair";
  static constexpr std::string_view kSummary =
      "two maps of the interval, the same at every sample, with different spectra (koopman)";
  static constexpr std::string_view kDescription =
      "x -> x + 1/2 mod 1, and the same followed by doubling inside the widest gap between "
      "samples. "
      "Y and Y_other are equal bit by bit; the approximate point spectra are {1, -1} and the whole "
      "circle.";
  static constexpr std::string_view kExample = "ritz data make interval-pair --out interval.npz";
  PairCommandOptions pair;
  void declare(Options& options) { pair.declare(options); }
  void run(Run& run) const;
};

struct MakeSeasonalField {
  static constexpr std::string_view kName = "data make seasonal-field";
  static constexpr std::string_view kSummary =
      "a field with three damped seasonal waves in noise: few snapshots, many pixels (koopman)";
  static constexpr std::string_view kExample =
      "ritz data make seasonal-field --pixels 2000 --steps 300 --out field.npy";

  int64_t pixels = 2000, steps = 300, patterns = 30;
  double season = 12, noise = 0.5, correlation = 0.6;

  void declare(Options& options) {
    options.option("--pixels", pixels, "D", "columns").at_least(1);
    options.option("--steps", steps, "T", "snapshots").at_least(2);
    options.option("--season", season, "P", "snapshots a year").above(0);
    options.option("--noise", noise, "S", "its deviation over the waves'").at_least(0);
    options.option("--correlation", correlation, "C", "of noise from one step to the next")
        .at_least(0)
        .at_most(0.999);
    options.option("--patterns", patterns, "K", "smooth fields that carry half of it").at_least(1);
    options.output_file("the field [T, D]").required();
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
