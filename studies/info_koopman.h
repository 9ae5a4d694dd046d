#pragma once
#include "studies/study.h"

namespace ritz::studies {

StudyResult study_info_koopman(const StudyContext& context);

}  // namespace ritz::studies
