#include "studies/ptd_ssm/sequences.h"

#include <torch/types.h>

#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "ritz/base/error.h"
#include "ritz/base/timer.h"
#include "ritz/io/deflate.h"
#include "ritz/optim/trainer.h"
#include "ritz/sequence/hippo.h"
#include "ritz/sequence/model/lengths.h"
#include "ritz/sequence/model/parameter_groups.h"

namespace ritz::studies::ptd_ssm {

namespace {

/// Numbers between commas, to the end of the text.
std::vector<double> numbers_in(std::string_view text, const std::string& path) {
  std::vector<double> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    double value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc()) {
      throw DataError("cell", "a number", std::string(at, std::min<size_t>(12, end - at)), path);
    }
    numbers.push_back(value);
    at = next;
    while (at != end && (*at == ',' || *at == '\r')) ++at;
  }
  return numbers;
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::string data_path(const StudyContext& context, const std::string& member) {
  return (std::filesystem::path(context.data.empty() ? "out/data" : context.data) / member)
      .string();
}

std::string missing_note(const std::string& path) {
  return "not measured: " + path +
         " is not there; `./dev data` fetches it (or name its folder with "
         "--data)";
}

Tensor read_digits(const std::string& path) {
  const std::string packed = contents(path);
  const auto bytes = std::as_bytes(std::span(packed));
  uint32_t size = 0;  // gzip ends with it, little endian
  if (bytes.size() > 18) std::memcpy(&size, bytes.data() + bytes.size() - 4, 4);
  const auto text = io::gunzip(bytes, size, path);
  const std::string_view all(reinterpret_cast<const char*>(text.data()), text.size());
  std::vector<double> numbers;
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find('\n', begin), all.size());
    for (const double value : numbers_in(all.substr(begin, end - begin), path))
      numbers.push_back(value);
    begin = end + 1;
  }
  if (numbers.empty() || numbers.size() % 65 != 0) {
    throw DataError(path, "rows of 64 pixels and a label",
                    std::to_string(numbers.size()) + " numbers");
  }
  return at::tensor(numbers, at::kDouble).view({-1, 65});
}

TsFile read_ts(const std::string& path) {
  std::ifstream file(path);
  std::vector<std::vector<std::vector<double>>> sequences;  // [n][d][steps]
  std::map<std::string, int64_t> classes;                   // in the order of their names
  std::vector<std::string> names;
  size_t steps = 0;
  bool in_data = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("@data")) {
      in_data = true;
      continue;
    }
    if (!in_data || line.find_first_not_of(" \r") == std::string::npos) continue;
    std::vector<std::vector<double>> channels;
    size_t begin = 0;
    for (size_t end; (end = line.find(':', begin)) != std::string::npos; begin = end + 1) {
      channels.push_back(numbers_in(std::string_view(line).substr(begin, end - begin), path));
    }
    std::string name = line.substr(begin);
    std::erase_if(name, [](char c) { return c == '\r' || c == ' '; });
    names.push_back(name);
    classes[name] = 0;
    steps = std::max(steps, channels.at(0).size());
    sequences.push_back(std::move(channels));
  }
  if (sequences.empty()) throw DataError(path, "sequences after @data", "none");
  int64_t next = 0;
  for (auto& [name, number] : classes) number = next++;
  const auto n = static_cast<int64_t>(sequences.size()),
             d = static_cast<int64_t>(sequences[0].size());
  TsFile ts{.x = at::zeros({n, static_cast<int64_t>(steps), d}),
            .lengths = at::zeros({n}, at::kLong),
            .y = at::zeros({n}, at::kLong)};
  for (int64_t i = 0; i < n; ++i) {
    const auto& channels = sequences[static_cast<size_t>(i)];
    const auto length = static_cast<int64_t>(channels[0].size());
    ts.lengths[i] = length;
    ts.y[i] = classes[names[static_cast<size_t>(i)]];
    for (int64_t c = 0; c < d; ++c) {
      const auto& values = channels.at(static_cast<size_t>(c));
      ts.x[i].narrow(0, 0, length).select(1, c).copy_(at::tensor(values, at::kDouble));
    }
  }
  return ts;
}

Fit train(const StudyContext& context, const std::string& what, const LabelledSequences& data,
          sequence::ModelOptions options, const Recipe& recipe) {
  options.channels = data.x.size(2);
  options.outputs = data.classes;
  options.layer.seed = recipe.seed;
  Fit fit{.model = std::make_shared<sequence::SequenceModel>(options)};
  const nn::Network network = sequence::make_network(fit.model);
  fit.parameters = network.parameter_count();
  std::unique_ptr<optim::Adam> adamw;
  if (recipe.groups) {
    adamw = sequence::make_adamw(
        network, {.lr = recipe.lr, .ssm_lr = recipe.ssm_lr, .weight_decay = recipe.weight_decay});
  } else {
    adamw = std::make_unique<optim::Adam>(
        network.parameter_values(),
        optim::AdamOptions{
            .lr = recipe.lr, .weight_decay = recipe.weight_decay, .decoupled = true});
  }
  dist::ProcessGroup alone;
  const Timer timer;
  const auto result =
      optim::train({network, {}, {sequence::pack(data.x, data.lengths), data.y}, *adamw, alone},
                   {.batch = recipe.batch,
                    .steps = recipe.steps,
                    .lr = recipe.lr,
                    .schedule = recipe.schedule,
                    .seed = recipe.seed,
                    .on_step = [&](const optim::StepRecord& r) {
                      context.progress(what, r.step, recipe.steps);
                    }});
  fit.seconds = timer.seconds();
  fit.diverged = result.diverged_at.has_value();
  const size_t tail = std::max<size_t>(1, result.log.size() / 10);
  for (size_t k = result.log.size() - tail; k < result.log.size(); ++k) {
    fit.loss += result.log[k].loss / static_cast<double>(tail);
  }
  return fit;
}

double accuracy(sequence::SequenceModel& model, const LabelledSequences& data, double amplitude,
                double omega, uint64_t seed) {
  if (amplitude > 0) {
    model.disturb(sequence::Disturbance{.amplitude = amplitude, .omega = omega, .seed = seed});
  }
  const Tensor outputs = sequence::predict(model, sequence::pack(data.test_x, data.test_lengths),
                                           model.modes().front(), 200);
  model.disturb({});
  return outputs.argmax(1).eq(data.test_y).to(at::kDouble).mean().item<double>();
}

double spike_frequency(int64_t n) {
  return at::imag(sequence::hippo_normal_part(n).eigenvalues).max().item<double>();
}

}  // namespace ritz::studies::ptd_ssm
