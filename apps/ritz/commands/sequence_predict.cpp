#include "apps/ritz/commands/sequence_predict.h"

#include <torch/types.h>

#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/ritz/commands/sequence_task.h"
#include "ritz/base/check_tensor.h"
#include "ritz/base/interrupt.h"
#include "ritz/base/progress.h"
#include "ritz/base/timer.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"

namespace ritz::app {

namespace {

using sequence::Mode;

struct Loaded {
  std::shared_ptr<sequence::SequenceModel> model;
  nn::Metadata metadata;
  bool classes = true;  // outputs are one class's each
};

Loaded load_model(const std::string& file, const Run& run) {
  Loaded loaded;
  loaded.metadata = nn::read_metadata(file);
  auto options = sequence::model_options(loaded.metadata, file);
  const auto say = [&](const char* key) {
    const auto found = loaded.metadata.find(key);
    return found == loaded.metadata.end() ? std::string() : found->second;
  };
  options.layer.tensor = tensor_options(run);
  if (run.common.dtype.empty() && say("dtype") == "float64") {
    options.layer.tensor = options.layer.tensor.dtype(at::kDouble);
  }
  loaded.classes = say("sequence.loss") == "cross-entropy";
  loaded.model = std::make_shared<sequence::SequenceModel>(options);
  nn::load_checkpoint(sequence::make_network(loaded.model), file);
  loaded.model->eval();
  return loaded;
}

Mode parse_mode(const std::string& name) {
  return name == "convolution" ? Mode::convolution : name == "scan" ? Mode::scan : Mode::step;
}

/// Text that reads back to the same float.
std::string number_of(const Tensor& outputs, int64_t k) {
  if (outputs.scalar_type() == at::kDouble) return number_text(outputs.const_data_ptr<double>()[k]);
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, outputs.const_data_ptr<float>()[k]).ptr;
  return {text, end};
}

/// The numbers of a line of CSV, or nothing where it holds something else.
std::optional<std::vector<double>> numbers_of(const std::string& line) {
  std::vector<double> numbers;
  const char* at = line.data();
  const char* const end = at + line.size();
  const auto skip = [&] {
    while (at != end && (*at == ' ' || *at == '\t' || *at == '\r')) ++at;
  };
  for (;;) {
    skip();
    double value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc()) return std::nullopt;
    numbers.push_back(value);
    at = next;
    skip();
    if (at == end) return numbers;
    if (*at == ',') ++at;
  }
}

/// Reads steps from standard input and answers each.
class Stream {
 public:
  Stream(const Loaded& loaded, bool raw, Run& run)
      : model_(*loaded.model),
        softmax_(loaded.classes && !raw),
        run_(run),
        stream_(model_.stream()) {
    sequence::DataOptions data;
    sequence::apply_metadata(loaded.metadata, data);
    mean_ = data.mean.value_or(0);
    deviation_ = data.deviation.value_or(1);
  }
  void answer_all() {
    std::string line;
    for (int64_t row = 0; !interrupted() && std::getline(std::cin, line); ++row) {
      if (line.find_first_not_of(" \t\r") == std::string::npos) {
        if (stream_.steps() > 0) stream_.reset();
        continue;
      }
      const auto numbers = numbers_of(line);
      if (!numbers && row == 0 && line.find_first_of("0123456789") != 0) continue;  // a header
      answer(numbers, line, row);
    }
    if (interrupted()) throw Interrupted("stopped after " + std::to_string(steps_) + " steps");
  }
  int64_t steps() const { return steps_; }
  const std::vector<Tensor>& answers() const { return answers_; }
  void keep() { keep_ = true; }

 private:
  void answer(const std::optional<std::vector<double>>& numbers, const std::string& line,
              int64_t row) {
    const auto& options = model_.options();
    const bool ids = options.vocabulary > 0;
    const int64_t wanted = ids ? 1 : options.channels;
    const std::string where = "standard input, row " + std::to_string(row);
    if (!numbers || static_cast<int64_t>(numbers->size()) != wanted) {
      throw DataError("step", ids ? "one token id" : std::to_string(wanted) + " numbers",
                      numbers ? std::to_string(numbers->size()) + " numbers" : '"' + line + '"',
                      where);
    }
    Tensor u = at::tensor(*numbers, at::kDouble);
    if (!u.isfinite().all().item<bool>())
      throw DataError("step", "finite numbers", '"' + line + '"', where);
    if (ids) {
      const double id = numbers->front();
      if (id < 0 || id >= static_cast<double>(options.vocabulary) || id != std::floor(id)) {
        throw DataError("step", "a token id below " + std::to_string(options.vocabulary),
                        '"' + line + '"', where);
      }
      u = u.to(at::kLong);
    } else {
      u = ((u - mean_) / deviation_).to(options.layer.tensor).unsqueeze(0);
    }
    Tensor outputs = stream_.push(u);
    if (softmax_) outputs = at::softmax(outputs, 1);
    outputs = outputs.to(at::kCPU).contiguous();
    ++steps_;
    if (keep_) answers_.push_back(outputs);
    std::string text;
    for (int64_t k = 0; k < outputs.numel(); ++k)
      text += (k == 0 ? "" : ",") + number_of(outputs, k);
    run_.text() << text << '\n' << std::flush;  // at once: whoever asked is waiting
  }

  sequence::SequenceModel& model_;
  const bool softmax_;
  Run& run_;
  sequence::ModelStream stream_;
  double mean_ = 0, deviation_ = 1;
  int64_t steps_ = 0;
  bool keep_ = false;
  std::vector<Tensor> answers_;
};

}  // namespace

void SequencePredict::run(Run& run) const {
  if (!run.common.out.empty()) io::check_array_target(run.common.out, run.common.force);
  const Loaded loaded = load_model(checkpoint, run);
  sequence::SequenceModel& model = *loaded.model;
  run.json()["model"] = sequence::model_description(model.options());
  if (data == "-") {
    run.json()["mode"] = "step";
    Stream stream(loaded, raw, run);
    if (!run.common.out.empty()) stream.keep();
    stream.answer_all();
    run.json()["steps"] = stream.steps();
    if (!run.common.out.empty()) {
      const int64_t outputs = model.options().outputs;
      const Tensor all = stream.answers().empty()
                             ? at::empty({0, outputs}, model.options().layer.tensor)
                             : at::cat(stream.answers(), 0);
      io::write_arrays(run.common.out, {io::to_array("", all)}, {.force = run.common.force});
    }
    return;
  }

  const Mode used = mode ? parse_mode(*mode) : model.modes().front();
  sequence::DataOptions options{.train = {.data = data,
                                          .labels = labels,
                                          .targets = targets,
                                          .lengths = lengths,
                                          .pairs = pairs},
                                .vocabulary = model.options().vocabulary,
                                .limit = test ? 0 : limit.value_or(0),
                                .needs_targets = false,
                                .tensor = model.options().layer.tensor};
  if (!labels.empty()) options.classes = model.options().outputs;
  sequence::apply_metadata(loaded.metadata, options);
  if (options.vocabulary == 0) options.channels = model.options().channels;
  auto sequences = sequence::load_sequences(options);
  if (test) {
    if (!sequences.test_inputs.defined()) {
      throw DataError("--test", "data with a test set of their own", "none", data);
    }
    const int64_t all = sequences.test_inputs.size(0), n = std::min(all, limit.value_or(all));
    sequences.inputs = sequences.test_inputs.narrow(0, 0, n);
    sequences.targets = sequences.test_targets.narrow(0, 0, n);
  }
  tell_inputs(sequences, run);
  check_fits(model.options(), sequences, checkpoint);

  const Timer timer;
  Progress progress(run.shows_progress());
  std::vector<Tensor> parts;
  const int64_t n = sequences.inputs.size(0);
  for (int64_t first = 0; first < n; first += batch) {
    if (interrupted()) {
      throw Interrupted("stopped after " + std::to_string(first) + " of " + std::to_string(n) +
                        " sequences");
    }
    progress.update("predicting", first, n);
    parts.push_back(sequence::predict(
        model, sequences.inputs.narrow(0, first, std::min(batch, n - first)), used, batch));
  }
  progress.clear();
  Tensor outputs = at::cat(parts, 0);
  run.json()["mode"] = sequence::mode_name(used);
  run.value("sequences", n);
  run.value("length", sequences.steps, "steps, of the longest");
  run.value("steps_per_second", static_cast<double>(n * sequences.steps) / timer.seconds());
  if (sequences.targets.defined()) {
    if (sequences.targets.is_floating_point()) {
      check_shape("targets", sequences.targets, {n, model.options().outputs});
      run.value("mse", (outputs - sequences.targets).square().sum(1).mean().item<double>(),
                "summed over outputs");
    } else {
      run.value("accuracy",
                outputs.argmax(1).eq(sequences.targets).to(at::kDouble).mean().item<double>());
    }
  }
  if (loaded.classes && !raw) outputs = at::softmax(outputs, 1);
  if (!run.common.out.empty()) {
    io::write_arrays(run.common.out, {io::to_array("", outputs.to(at::kCPU).contiguous())},
                     {.force = run.common.force});
  }
}

}  // namespace ritz::app
