#pragma once
#include "studies/study.h"

namespace ritz::studies {

/// ritz study lp-sensitivity: L1 to L6 of the specification, and two regressions on real data.
StudyResult study_lp_sensitivity(const StudyContext& context);

}  // namespace ritz::studies
