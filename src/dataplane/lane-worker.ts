import { type MessagePort, workerData } from 'node:worker_threads'
import { Lane } from './lane.js'
import type { LaneOptions } from './messages.js'

// Entry of a lane's thread. It never returns to its event loop while the lane runs: packets come from poll(2), messages
// are read synchronously.

const { options, port } = workerData as { options: LaneOptions; port: MessagePort }
const lane = new Lane(options, port)
lane.run()
port.close()
