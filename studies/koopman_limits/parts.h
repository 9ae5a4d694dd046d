#pragma once
// The parts of the koopman-limits study. Each adds its claims, series and figures to the result.
#include <functional>
#include <string>
#include <vector>

#include "ritz/base/tensor.h"
#include "studies/study.h"

namespace ritz::studies::koopman_limits {

void certified_oscillator(const StudyContext& context, StudyResult& result);  // A
void cat_map_measure(const StudyContext& context, StudyResult& result);       // B
void point_and_mixing(const StudyContext& context, StudyResult& result);      // C
void adversarial_disc(const StudyContext& context, StudyResult& result);      // D
void few_snapshots(const StudyContext& context, StudyResult& result);         // E
void measured_series(const StudyContext& context, StudyResult& result);       // R

std::vector<double> numbers(const Tensor& values);

/// One way to forecast with one setting: history [1, T, d] and horizon -> [1, H, d].
struct Setting {
  std::string name;
  std::function<Tensor(const Tensor& history, int64_t horizon)> forecast;
};
/// A method with all the settings it may choose from.
struct Contestant {
  std::string name;
  std::vector<Setting> settings;
};
/// Persistence, seasonal climatology, autoregression, DMD (with and without delays, ranks), plain
/// and verified kernel EDMD; every method with delays has the same choice of them, every one but
/// persistence and climatology that of taking away the seasonal mean. `sections` bounds the
/// kernel's rank.
std::vector<Contestant> contestants(int64_t season, const std::vector<int64_t>& delays,
                                    const std::vector<int64_t>& ranks, int64_t sections);

/// What a race gave: root mean square errors [lead] of each contestant, over starts and columns.
struct Race {
  std::vector<std::string> names, chosen;  // the setting that won on the tuning starts
  std::vector<std::vector<double>> error;  // [contestant][horizon]
  std::vector<double> total;               // over all leads
  const double& of(const std::string& name) const;
};
/// Settings are chosen by the error of forecasts from `tuning` starts (all before the first of
/// `starts`), then judged from `starts`: history is series[0, start), truth what follows. Forecasts
/// that are not finite count as infinite.
Race race(const Tensor& series, const std::vector<Contestant>& all,
          const std::vector<int64_t>& tuning, const std::vector<int64_t>& starts, int64_t horizon,
          const std::function<void(int64_t done, int64_t total)>& progress);
/// `count` starts, evenly from `first` to `last`.
std::vector<int64_t> even_starts(int64_t first, int64_t last, int64_t count);

}  // namespace ritz::studies::koopman_limits
