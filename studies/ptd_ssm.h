#pragma once
#include "studies/study.h"

namespace ritz::studies {

/// ritz study ptd-ssm: parts A to C of the specification, and sequences from real data.
StudyResult study_ptd_ssm(const StudyContext& context);

}  // namespace ritz::studies
