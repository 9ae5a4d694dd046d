#pragma once
// The parts of the ptd-ssm study. Each adds its claims, series and figures to the result.
#include "studies/study.h"

namespace ritz::studies::ptd_ssm {

void transfer_functions(const StudyContext& context, StudyResult& result);  // A
void ablation(const StudyContext& context, StudyResult& result);            // C

}  // namespace ritz::studies::ptd_ssm
