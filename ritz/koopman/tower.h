#pragma once
// How many limits, one after another, an answer stands behind, and which of them come with a bound
// (Solvability Complexity Index; Colbrook, Mezic & Stepanenko, arXiv 2407.06312, sheet's
// table 2.9). Every result carries its tower, so that nothing is called verified that was not.
//
//     #include "ritz/koopman/tower.h"
//     int main() {
//       using namespace ritz::koopman;
//       const Tower plain = tower_of(Task::eigenpairs, {});
//       const Tower held = tower_of(Task::eigenpairs, {.held_out = true});
//       return !plain.certified && held.certified ? 0 : 1;
//     }
#include <string>
#include <vector>

namespace ritz::koopman {

enum class Task { eigenpairs, pseudospectrum, spectrum, spectral_measure, mixing, forecast };

struct Limit {
  std::string name;      // what grows or shrinks: "M", "N", ...
  std::string option;    // what sets it on the command line
  bool bounded = false;  // this run bounds what is left of it
};

struct Tower {
  std::string task;
  std::vector<Limit> limits;  // in the order in which they are taken
  bool certified = false;     // the output may be called verified: see `assumption`
  std::string assumption;     // what the certificate rests on, or why there is none
};

/// What is known, and what this run has tested.
struct Evidence {
  bool measure_preserving = false;  // assumed by the caller ...
  bool defect_within = false;       // ... and the isometry defect does not contradict it
  bool held_out = false;            // data that nothing was fitted to bound the error of sampling
  bool adjoint = false;             // the residuals are the adjoint's (kernel EDMD)
  bool modulus_known = false;       // a modulus of continuity of the map is known: M follows from N
};

/// The tower of a task. Spectrum of a measure-preserving map: limits M, N, the last with a
/// certificate; one limit where a modulus is known; without the assumption M, N, eps. `certified`
/// asks for held-out data wherever M is a limit of its own. Measures, mixing and forecasts by
/// themselves are never certified.
Tower tower_of(Task task, const Evidence& evidence);

}  // namespace ritz::koopman
