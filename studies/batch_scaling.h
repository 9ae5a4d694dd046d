#pragma once
#include "studies/study.h"

namespace ritz::studies {

StudyResult study_batch_scaling(const StudyContext& context);

}  // namespace ritz::studies
