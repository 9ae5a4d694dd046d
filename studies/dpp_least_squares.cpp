// Where to evaluate an expensive function: what the paper claims, re-measured.
//
//     ritz study dpp-least-squares --scale desk --out study
//
// D1 stability of the Gram matrix; D2 error beside the best approximation; D3 unbiasedness; D4 two
// and five variables; R1 a simulation that takes real time.
#include "studies/dpp_least_squares.h"

#include "ritz/base/error.h"
#include "studies/dpp_least_squares/parts.h"

namespace ritz::studies {

StudyResult study_dpp_least_squares(const StudyContext& context) {
  StudyResult result;
  if (context.scale == Scale::full)
    throw Unsupported(
        "dpp-least-squares: the full scale (m = 500 to 2000 in 10 to 50 variables) runs through "
        "`ritz design points` and `ritz design fit` on your own simulation");
  dpp_least_squares::stability(context, result);
  dpp_least_squares::errors(context, result);
  dpp_least_squares::unbiasedness(context, result);
  dpp_least_squares::several_variables(context, result);
  dpp_least_squares::simulation(context, result);
  return result;
}

}  // namespace ritz::studies
