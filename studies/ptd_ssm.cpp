// State-space layers in a diagonal basis: what perturb-then-diagonalise promises, re-measured.
//
//     ritz study ptd-ssm --scale desk --out study
//
// A transfer functions of HiPPO, S4D and PTD; B digits under a disturbance; C condition and error
// over the size of the perturbation; R1 to R3 measured series. `full` reads Fashion-MNIST pixel by
// pixel, all of it; sequential CIFAR and the Long-Range Arena, on data of your own, are for
// `ritz sequence train`.
#include "studies/ptd_ssm.h"

#include "studies/ptd_ssm/classification.h"
#include "studies/ptd_ssm/parts.h"

namespace ritz::studies {

StudyResult study_ptd_ssm(const StudyContext& context) {
  StudyResult result;
  ptd_ssm::transfer_functions(context, result);
  ptd_ssm::robust_digits(context, result);
  ptd_ssm::ablation(context, result);
  ptd_ssm::real_series(context, result);
  return result;
}

}  // namespace ritz::studies
