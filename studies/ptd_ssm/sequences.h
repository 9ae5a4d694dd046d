#pragma once
// What parts B and R of the study have in common: labelled sequences, a training run, the accuracy
// under a disturbance.
#include <string>

#include "ritz/sequence/model/model.h"
#include "studies/study.h"

namespace ritz::studies::ptd_ssm {

struct LabelledSequences {
  Tensor x = {}, lengths = {}, y = {};  // [n, L, d] float32, int64 [n] or undefined, int64 [n]
  Tensor test_x = {}, test_lengths = {}, test_y = {};  // the same, of the test set
  int64_t classes = 0;
};

/// The folder of the fetched tables, and what a skipped part says.
std::string data_path(const StudyContext& context, const std::string& member);
std::string missing_note(const std::string& path);

/// Rows of scikit-learn's digits.csv.gz: 1797 images of 8 x 8 in 0..16, the label last: float64 [n,
/// 65].
Tensor read_digits(const std::string& path);
/// A .ts file of the UCR and UEA archives (aeon): channels between colons, steps between commas,
/// the class after the last colon. Sequences end where they end; the longest gives L.
struct TsFile {
  Tensor x, lengths, y;
};
TsFile read_ts(const std::string& path);

struct Recipe {
  int64_t steps = 100, batch = 50;
  double lr = 5e-3, ssm_lr = 1e-3, weight_decay = 0.01;
  bool groups = true;  // false: all at lr with decay
  std::string schedule = "constant";
  uint64_t seed = 0;
};
struct Fit {
  std::shared_ptr<sequence::SequenceModel> model;
  double loss = 0;     // mean of the last tenth of the steps
  double seconds = 0;  // a step's share of the machine is not its own: for orientation
  int64_t parameters = 0;
  bool diverged = false;
};
/// Shapes of the model come from the data.
Fit train(const StudyContext& context, const std::string& what, const LabelledSequences& data,
          sequence::ModelOptions options, const Recipe& recipe);

/// Share of the test set that is answered rightly while every layer's input is disturbed.
double accuracy(sequence::SequenceModel& model, const LabelledSequences& data, double amplitude,
                double omega, uint64_t seed);

/// max Im eig(A_n), where the diagonal part of HiPPO resonates.
double spike_frequency(int64_t n);

}  // namespace ritz::studies::ptd_ssm
