// Sampling rows by l_p sensitivities: what the paper's bounds promise, measured.
//
//     ritz study lp-sensitivity --scale desk --out study
//     ./dev data && ritz study lp-sensitivity ...      # with the two real tables (R1, R2)
//
// L1, L2 two matrices on which other scores fail; L3 recursion; L4, L5 how large total
// sensitivities are; L6, R1, R2 robust regression on a sample.
#include "studies/lp_sensitivity.h"

#include "ritz/base/error.h"
#include "studies/lp_sensitivity/parts.h"

namespace ritz::studies {

StudyResult study_lp_sensitivity(const StudyContext& context) {
  if (context.scale == Scale::full)
    throw Unsupported(
        "lp-sensitivity: the full scale (1e7 rows of your own) runs through `ritz coreset TABLE "
        "--verify`");
  StudyResult result;
  lp_sensitivity::root_leverage(context, result);
  lp_sensitivity::sensitivity_above_two(context, result);
  lp_sensitivity::recursion(context, result);
  lp_sensitivity::totals(context, result);
  lp_sensitivity::structured(context, result);
  lp_sensitivity::robust_fit(context, result);
  lp_sensitivity::real_data(context, result);
  return result;
}

}  // namespace ritz::studies
