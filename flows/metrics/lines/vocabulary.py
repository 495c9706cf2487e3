"""The words around values: units, headings, and the words that make a line prose."""

from wildloop.flows.metrics.lines.words import word_set

UNITS = word_set("""
    s sec secs second seconds ms us min mins minute minutes h hr hrs hours hour it it/s s/it
    step/s steps/s samples/s tok/s tokens/s tokens/sec examples/s img/s images/s batch/s batches/s
    ms/step s/step us/step ms/batch s/epoch b kb mb gb tb kib mib gib m k w hz khz fps px mm cm
    bit bits bpd bpc db bytes nats points pts pp x ex/s
""")
SIZES = frozenset(["b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "m", "k", "bytes"])
TIMES = word_set("""
    s sec secs second seconds ms us min mins minute minutes h hr hrs hours
""")
HEADINGS = word_set("""
    results result metrics metric performance summary statistics stats done finished completed
    complete report ended phase mode stage on data dataset eta elapsed lr time speed log logs
    progress new record current avg mean std fold run seed learn valid learning rate got epoch
    saved saving checkpoint model evaluating computed after for at in per all * batch dataloader
    end of batches rank worker loader subset remaining mem memory gpu lap dur cuda took
    trained tokens peak it/sec tokens/sec
""")
PROSE = word_set("""
    the a an we our i you they is was were are be been has have had will would should could can
    may might must that this these those which because since although but if when while until
    unless than from to into with without not no expected expect target goal threshold baseline
    previous previously old want need needs requires required require minimum least most above
    below paper published reported human random chance stop default using use set to setting
    config if about around roughly approximately only still already yet please see note warning
    error usage example skipping ignoring loading loaded download downloading installing resume
    resuming restored
""")
OF_WORDS = word_set("""
    of on the for in over a my our model network set data dataset images samples examples split
    points sentences tokens at
""")
