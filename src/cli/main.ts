#!/usr/bin/env node
import { reportFailure } from './exit.js'
import { buildProgram } from './program.js'

try {
  await buildProgram().parseAsync()
} catch (error) {
  process.exitCode = reportFailure(error)
}
