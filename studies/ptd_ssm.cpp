// State-space layers in a diagonal basis: what perturb-then-diagonalise promises, re-measured.
//
//     ritz study ptd-ssm --scale desk --out study
//
// A transfer functions of HiPPO, S4D and PTD; C condition and error over the size of the
// perturbation.
#include "studies/ptd_ssm.h"

#include "ritz/base/error.h"
#include "studies/ptd_ssm/parts.h"

namespace ritz::studies {

StudyResult study_ptd_ssm(const StudyContext& context) {
  if (context.scale == Scale::full)
    throw Unsupported(
        "ptd-ssm: the full scale (sequential CIFAR, the Long-Range Arena, on your own data) runs "
        "through `ritz sequence train`");
  StudyResult result;
  ptd_ssm::transfer_functions(context, result);
  ptd_ssm::ablation(context, result);
  return result;
}

}  // namespace ritz::studies
