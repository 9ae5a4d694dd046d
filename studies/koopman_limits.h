#pragma once
#include "studies/study.h"

namespace ritz::studies {

StudyResult study_koopman_limits(const StudyContext& context);

}  // namespace ritz::studies
