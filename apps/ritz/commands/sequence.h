#pragma once
// `ritz sequence init`, `diagonalise` and `transfer`.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/ritz/frame/command.h"
#include "ritz/base/error.h"

namespace ritz::app {

/// What the optimiser of a perturbation takes, in both commands.
struct PerturbationSettings {
  double rho = 0.04, learning_rate = 0.2, penalty = 10;
  std::optional<double> abscissa;
  int64_t steps = 600, restarts = 4;
  bool complex = false;
  std::string conditioning = "two-norm";

  void declare(Options& options) {
    options.option("--rho", rho, "R", "the perturbation's norm over the matrix's").above(0);
    options.option("--steps", steps, "S", "steps of the optimiser from each start").at_least(1);
    options.option("--restarts", restarts, "K", "starts, of which the best is kept").at_least(1);
    options.option("--lr", learning_rate, "A", "its rate, in units of a typical entry of E")
        .above(0);
    options.option("--penalty", penalty, "P", "of eigenvalues right of the abscissa").at_least(0);
    options
        .option("--conditioning", conditioning, "KIND",
                "what is made small: W's condition number, or the smooth ||W||_F ||W_inv||_F / n")
        .one_of({"two-norm", "frobenius"});
    options.flag("--complex", complex, "E complex: no conjugate pairs");
  }
};

struct SequenceInit {
  static constexpr std::string_view kName = "sequence init";
  static constexpr std::string_view kSummary =
      "HiPPO's state matrix in a diagonal basis that neither forgets nor resonates";
  static constexpr std::string_view kDescription =
      "A_H + E = W diag(m) W^-1 for HiPPO-LegS of N states: `optimised` chooses a small E that "
      "makes "
      "W well conditioned (perturb, then diagonalise), `ginibre` is a random E of that norm, "
      "`path` "
      "goes straight towards S4D, `none` (or `s4d`) is S4D itself, file:E.npy takes an E of your "
      "own. "
      "Optimised ones are kept in $XDG_CACHE_HOME/ritz.";
  static constexpr std::string_view kExample =
      "ritz sequence init --states 16 --rho 0.04 --method optimised --out init.npz";

  int64_t states = 32;
  std::string method = "optimised";
  double b_scale = 0.5;
  bool no_cache = false;
  PerturbationSettings settings;

  void declare(Options& options) {
    options.option("--states", states, "N", "states of the system").at_least(1).at_most(2048);
    options.option("--method", method, "METHOD",
                   "optimised, ginibre, path, none, s4d or file:E.npy");
    settings.declare(options);
    options.option("--abscissa", settings.abscissa, "X",
                   "where the penalty on real parts begins [-1, HiPPO's own]");
    options.option("--b-scale", b_scale, "S", "what S4D's input vector is multiplied with")
        .above(0);
    options.flag("--no-cache", no_cache, "neither read nor write the cache");
    options.output_file("E, eigenvalues, W and W_inv (.npz, .h5, .mat)");
  }
  void check() const {
    for (const char* name : {"optimised", "ginibre", "path", "none", "s4d"})
      if (method == name) return;
    if (!method.starts_with("file:") || method.size() == 5)
      throw UsageError("--method", "optimised, ginibre, path, none, s4d or file:E.npy", method);
  }
  void run(Run& run) const;
};

struct SequenceDiagonalise {
  static constexpr std::string_view kName = "sequence diagonalise";
  static constexpr std::string_view kSummary =
      "any square matrix, moved a little, in a well-conditioned diagonal basis";
  static constexpr std::string_view kDescription =
      "A + E = W diag(m) W^-1 with ||E|| <= R ||A|| chosen such that W is well conditioned: "
      "powers, "
      "exponentials and resolvents of a non-normal A may then be taken in the diagonal basis, with "
      "an error of about kappa times rounding beside that of E.";
  static constexpr std::string_view kExample =
      "ritz sequence init --states 16 --method ginibre --out g.npz && \\\n"
      "  ritz sequence diagonalise g.npz:E --out basis.npz";

  std::string matrix, method = "optimised";
  bool stable = false;
  PerturbationSettings settings;

  void declare(Options& options) {
    options.positional("A", matrix, "a square matrix, real or complex: any array file").required();
    options.option("--method", method, "METHOD", "optimised, ginibre or file:E.npy");
    settings.declare(options);
    options.flag("--stable", stable, "push eigenvalues left of --abscissa");
    options.option("--abscissa", settings.abscissa, "X",
                   "with --stable: where [the largest real part of A's eigenvalues, at most 0]");
    options.output_file("E, eigenvalues, W and W_inv (.npz, .h5, .mat)");
  }
  void check() const {
    if (settings.abscissa && !stable)
      throw UsageError("--abscissa", "--stable beside it", "it alone");
    if (method == "optimised" || method == "ginibre") return;
    if (!method.starts_with("file:") || method.size() == 5)
      throw UsageError("--method", "optimised, ginibre or file:E.npy", method);
  }
  void run(Run& run) const;
};

struct SequenceTransfer {
  static constexpr std::string_view kName = "sequence transfer";
  static constexpr std::string_view kSummary =
      "transfer functions and impulse responses of HiPPO and its diagonal stand-ins";
  static constexpr std::string_view kDescription =
      "G(iw) = C (iw - A)^-1 B at each frequency w, for HiPPO itself (s4), S4D (s4d) and a "
      "perturbed "
      "and diagonalised system (s4-ptd, from --init or made as by `ritz sequence init`), all with "
      "the "
      "same C. With --impulse the sampled kernels K_0 ... K_{L-1} instead.";
  static constexpr std::string_view kExample =
      "ritz sequence transfer --states 16 --systems s4,s4d --out g.csv --plot g.svg";

  int64_t states = 0, impulse = 0;
  std::vector<std::string> systems{"s4", "s4d", "s4-ptd"};
  std::string init, c_path, frequencies, discretisation = "zoh", plot;
  double dt = 0, b_scale = 0.5, rho = 0.04;

  void declare(Options& options) {
    options.option("--states", states, "N", "states; 0: as --init or --C has them [32]")
        .at_least(0);
    options.option("--systems", systems, "NAME,...", "which").one_of({"s4", "s4d", "s4-ptd"});
    options.option("--init", init, "I.npz", "what `ritz sequence init` wrote, for s4-ptd");
    options.option("--C", c_path, "c.npy", "the output row, N numbers [B / N]");
    options.option("--frequencies", frequencies, "w.npy",
                   "angular frequencies [a grid that is fine at every resonance]");
    options.option("--rho", rho, "R", "of s4-ptd without --init").above(0);
    options.option("--b-scale", b_scale, "S", "what S4D's input vector is multiplied with")
        .above(0);
    options.option("--impulse", impulse, "L", "the first L numbers of each kernel instead")
        .at_least(0);
    options.option("--dt", dt, "D", "its step").at_least(0);
    options.option("--discretisation", discretisation, "RULE", "its rule")
        .one_of({"zoh", "bilinear"});
    options.option("--plot", plot, "FILE.svg", "a picture of |G|, or of the kernels");
    options.output_file("omega,NAME_re,NAME_im; with --impulse a column a system");
  }
  void check() const {
    if ((impulse > 0) != (dt > 0))
      throw UsageError(impulse > 0 ? "--dt" : "--impulse",
                       impulse > 0 ? "a positive step beside --impulse" : "--impulse beside --dt",
                       "one without the other");
    if (impulse > 0 && !frequencies.empty())
      throw UsageError("--impulse, --frequencies", "one of them", "both");
    if (systems.empty()) throw UsageError("--systems", "s4, s4d or s4-ptd", "none");
  }
  void run(Run& run) const;
};

}  // namespace ritz::app
