// Information-shaped Koopman models: what the paper claims, re-measured.
//
//     ritz study info-koopman --scale desk --out study
//
// (A) water-filling; (B) a weak oscillator beside a strong one; (C) Lorenz 63.
#include "studies/info_koopman.h"

#include <torch/types.h>

#include <numeric>

#include "ritz/dist/process_group.h"
#include "studies/info_koopman/parts.h"

namespace ritz::studies {
namespace info_koopman {

std::shared_ptr<koopman::learned::Model> trained(const koopman::learned::ModelOptions& model,
                                                 const koopman::learned::TrainingOptions& options,
                                                 const koopman::learned::Trajectories& data) {
  auto made = std::make_shared<koopman::learned::Model>(model);
  dist::ProcessGroup alone;
  auto o = options;
  o.decay_every = 0;
  koopman::learned::train(*made, {data}, o, alone);
  return made;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

void add_values(Claim& claim, const std::string& name, const std::vector<double>& values) {
  claim.measured.emplace_back(name, mean(values));
  if (values.size() < 2) return;
  for (size_t i = 0; i < values.size(); ++i) {
    claim.measured.emplace_back(name + ", seed " + std::to_string(i), values[i]);
  }
}

}  // namespace info_koopman

StudyResult study_info_koopman(const StudyContext& context) {
  StudyResult result;
  info_koopman::water_filling(context, result);
  info_koopman::oscillators(context, result);
  info_koopman::lorenz(context, result);
  return result;
}

}  // namespace ritz::studies
