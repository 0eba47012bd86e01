// The list of frame kinds for macros that say something about each. Internal to proto/frames.
#pragma once

#define TROUPE_EACH_BODY(DO) \
  DO(Hello)                  \
  DO(HelloAck)               \
  DO(Goodbye)                \
  DO(Submit)                 \
  DO(Cancel)                 \
  DO(Lease)                  \
  DO(Tokens)                 \
  DO(Rows)                   \
  DO(ExpertRows)             \
  DO(ExpertReply)            \
  DO(Combined)               \
  DO(Logits)                 \
  DO(Failed)                 \
  DO(PromptLogprobs)
