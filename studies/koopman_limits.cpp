// Verified Koopman spectra and their limits: what the paper claims, re-measured.
//
//     ritz study koopman-limits --scale desk --out study
//
// A Duffing's oscillator, the certified spectrum beside EDMD; B spectral measures of the cat map; C
// RAGE averages; D a pair of maps that no sample tells apart; E forecasts of few snapshots; R
// measured series: which eigenvalues are verified, and forecasts of their held-out tails.
#include "studies/koopman_limits.h"

#include "ritz/base/error.h"
#include "studies/koopman_limits/parts.h"

namespace ritz::studies {

StudyResult study_koopman_limits(const StudyContext& context) {
  StudyResult result;
  if (context.scale == Scale::full)
    throw Unsupported(
        "koopman-limits: the full scale (sea ice, sea level, cavity and cylinder flow) runs "
        "through `ritz koopman` on your own arrays");
  koopman_limits::certified_oscillator(context, result);
  koopman_limits::cat_map_measure(context, result);
  koopman_limits::point_and_mixing(context, result);
  koopman_limits::adversarial_disc(context, result);
  koopman_limits::few_snapshots(context, result);
  koopman_limits::measured_series(context, result);
  return result;
}

}  // namespace ritz::studies
