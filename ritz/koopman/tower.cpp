#include "ritz/koopman/tower.h"

namespace ritz::koopman {
namespace {

const Limit kPairs{"M", "X, --holdout"}, kFunctions{"N", "--size"}, kGrid{"spacing", "--spacing"};

/// The limit over M, bounded by what was held out.
Limit pairs(const Evidence& evidence) {
  Limit limit = kPairs;
  limit.bounded = evidence.held_out;
  return limit;
}

Tower eigenpairs(const Evidence& evidence) {
  if (evidence.adjoint) {
    return {"eigenpairs",
            {kPairs},
            false,
            "none: the residuals are those of the adjoint in the kernel's space, not of the "
            "eigenfunctions"};
  }
  return {"eigenpairs",
          {pairs(evidence)},
          evidence.held_out,
          evidence.held_out
              ? "each pair's residual: 95 % bootstrap upper value on held-out pairs drawn as the "
                "others were; pairs may miss spectrum"
              : "none: no pairs were held out, so no residual is verified"};
}

Tower pseudospectrum(const Evidence& evidence) {
  return {"pseudospectrum",
          {pairs(evidence), {kFunctions.name, kFunctions.option, true}, {"eps", "tau's level"}},
          false,
          "{tau < eps} lies within the eps-pseudospectrum as M grows; the spectrum itself is a "
          "further limit, eps to 0, without a bound"};
}

Tower spectrum(const Evidence& evidence) {
  if (!evidence.measure_preserving) return pseudospectrum(evidence);
  const Limit last{kFunctions.name + ", " + kGrid.name, kFunctions.option + ", " + kGrid.option,
                   evidence.defect_within};
  if (!evidence.defect_within) {
    return {"spectrum",
            {pairs(evidence), last},
            false,
            "measure-preserving: violated by the data, so there is no certificate"};
  }
  if (evidence.modulus_known) {
    return {"spectrum",
            {last},
            true,
            "measure-preserving with a known modulus of continuity: one limit, with a certificate"};
  }
  return {"spectrum",
          {pairs(evidence), last},
          evidence.held_out,
          evidence.held_out
              ? "measure-preserving: tested on the data, not proved; the certificate's error of "
                "sampling is bounded on held-out pairs (95 %). One limit would not do: maps with "
                "the same snapshots can have different spectra"
              : "measure-preserving: tested on the data, not proved; no pairs were held out, so "
                "the certificate is that of M to infinity and not verified"};
}

}  // namespace

Tower tower_of(Task task, const Evidence& evidence) {
  switch (task) {
    case Task::eigenpairs:
      return eigenpairs(evidence);
    case Task::pseudospectrum:
      return pseudospectrum(evidence);
    case Task::spectrum:
      return spectrum(evidence);
    case Task::spectral_measure:
      return {"spectral_measure",
              {kPairs, kFunctions, {"epsilon", "--epsilon"}},
              false,
              "measure-preserving; converges weakly, with an order but no bound of the error"};
    case Task::mixing:
      return {"mixing",
              {kPairs, {"L", "--lags"}, {"n", "--dimensions"}},
              false,
              "measure-preserving; M first, then L, then n: no finite n or L decides"};
    default:
      return {"forecast",
              {kPairs, kFunctions},
              false,
              "none: residuals bound one step of an eigenfunction, not a forecast"};
  }
}

}  // namespace ritz::koopman
