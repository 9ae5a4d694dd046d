#pragma once
#include "studies/study.h"

namespace ritz::studies {

/// A: generalisation at defaults; B: robustness to the learning rate; C: ill-conditioned functions.
StudyResult study_adahessian(const StudyContext& context);

}  // namespace ritz::studies
