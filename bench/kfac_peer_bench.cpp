// ritz's side of bench/peers/kfac_peers.py: K-FAC and MKOR on the peer's network, batch and
// weights.
//
//     kfac_peer_bench prepare FOLDER                       writes weights, batch
//     kfac_peer_bench run FOLDER kfac|mkor F STEPS THREADS
//
// `run` answers with one line of JSON (seconds of each step) and leaves the first step's
// preconditioned gradients in FOLDER/ritz.safetensors.
#include <torch/types.h>

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/perceptron.h"
#include "ritz/base/error.h"
#include "ritz/base/threads.h"
#include "ritz/base/timer.h"
#include "ritz/io/array_file.h"
#include "ritz/io/tensor.h"
#include "ritz/optim/kfac.h"
#include "ritz/optim/mkor.h"

namespace {

using namespace ritz::optim;
using ritz::bench::Perceptron;

void write(const std::string& path, const std::vector<ritz::nn::NamedTensor>& tensors) {
  std::vector<ritz::io::Array> arrays;
  for (const auto& [name, value] : tensors) {
    arrays.push_back(ritz::io::to_array(name, value.detach().contiguous()));
  }
  ritz::io::write_arrays(path, arrays, {.force = true});
}

/// Without biases: the peer takes a bias for a layer of its own.
Perceptron make_task() {
  return Perceptron(/*with_biases=*/false);
}

void prepare(const std::string& folder) {
  const Perceptron task = make_task();
  write(folder + "/weights.safetensors", task.network.parameters);
  write(folder + "/batch.safetensors", {{"inputs", task.x}, {"targets", task.y}});
}

/// K-FAC without an average over steps, which the peer starts at 0 and ritz at I: the work is the
/// same.
std::unique_ptr<Optimizer> make(const std::string& method, const Perceptron& task, int64_t f) {
  if (method == "mkor") {
    return std::make_unique<Mkor>(task.network, task.descent(), MkorOptions{.f = f});
  }
  if (method != "kfac") throw ritz::InvalidArgument("method", "kfac or mkor", method);
  return std::make_unique<Kfac>(task.network, task.descent(),
                                KfacOptions{.f = f,
                                            .factor_every = f,
                                            .damping = 1e-2,
                                            .decay = 0,
                                            .form = KfacForm::inverse,
                                            .rescale = Rescale::none});
}

void run(const std::string& folder, const std::string& method, int64_t f, int64_t steps,
         int threads) {
  ritz::set_threads(threads);
  const Perceptron task = make_task();
  ritz::nn::Loss{}(task.network.forward(task.x), task.y)
      .backward();  // loads what loads on first use
  const auto optimizer = make(method, task, f);
  nlohmann::json seconds = nlohmann::json::array();
  for (int64_t step = 0; step < steps; ++step) {
    const ritz::Timer timer;
    task.step(*optimizer);
    seconds.push_back(timer.seconds());
    if (step > 0) continue;
    std::vector<ritz::nn::NamedTensor> directions;
    for (const auto& [name, value] : task.network.parameters)
      directions.push_back({name, value.grad()});
    write(folder + "/ritz.safetensors", directions);
  }
  std::cout << nlohmann::json{{"seconds", seconds}} << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 2 && words[0] == "prepare") {
      prepare(words[1]);
      return 0;
    }
    if (words.size() == 6 && words[0] == "run") {
      run(words[1], words[2], std::stoll(words[3]), std::stoll(words[4]), std::stoi(words[5]));
      return 0;
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kfac_peer_bench: %s\n", error.what());
    return 1;
  }
  std::fputs("usage: kfac_peer_bench prepare FOLDER | run FOLDER kfac|mkor F STEPS THREADS\n",
             stderr);
  return 2;
}
